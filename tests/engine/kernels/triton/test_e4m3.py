"""The inline PTX that widens e4m3."""

import torch

from engine.kernels.triton.e4m3 import UNSCALE, WIDEN_PTX
from tests.engine.kernels.triton.ptx import execute, halves


def test_every_number_is_widened_in_every_place_whatever_its_neighbours() -> None:
    codes = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    for place in range(4):
        for others in (0, 0xFFFFFFFF, 0x5AA53CC3):
            words = [others & ~(0xFF << 8 * place) | byte << 8 * place for byte in range(256)]
            wide = [execute(WIDEN_PTX.value, 2, word)[place // 2] for word in words]
            bits = torch.tensor([halves(register)[place % 2] for register in wide], dtype=torch.int32)
            values = bits.to(torch.int16).view(torch.bfloat16).double() * UNSCALE.value
            finite = codes.float().isfinite()
            assert values[finite].equal(codes.double()[finite])
