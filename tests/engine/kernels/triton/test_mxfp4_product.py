"""The inline PTX that unpacks MXFP4."""

import torch

from engine.kernels.mxfp4 import MAGNITUDES
from engine.kernels.triton.mxfp4_product import UNPACK_PTX
from tests.engine.kernels.triton.ptx import execute


def halves(word: int) -> list[int]:
    return execute(UNPACK_PTX.value, 4, word)


def test_every_nibble_becomes_its_value() -> None:
    bits = [halves(byte)[i] for byte in range(256) for i in (0, 4)]
    values = torch.tensor(bits, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).double() * 2.0**126
    nibbles = [*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)]
    assert values.tolist() == [nibbles[nibble] for byte in range(256) for nibble in (byte & 15, byte >> 4)]


def test_a_value_depends_on_its_own_byte_only() -> None:
    """Low nibbles of bytes 0 … 3 come first, then their high ones, whatever the other bytes are."""
    for byte in range(256):
        low, high = (halves(byte)[i] for i in (0, 4))
        for place in range(4):
            for others in (0, 0xFFFFFFFF, 0x5AA53CC3):
                word = others & ~(0xFF << 8 * place) | byte << 8 * place
                assert halves(word)[place::4] == [low, high]
