"""The inline PTX that unpacks MXFP4."""

import pytest
import torch

from engine.kernels.mxfp4 import MAGNITUDES
from engine.kernels.triton.mxfp4_product import UNPACK_PTX
from engine.kernels.triton.repack import word_tables
from tests.engine.kernels.triton.ptx import execute


@pytest.mark.parametrize("others", [0, 15, 6])
def test_every_nibble_becomes_its_value_in_every_place_whatever_its_neighbours(others: int) -> None:
    tables = word_tables(torch.device("cpu")).flatten(0, 1)
    for place in range(8):
        neighbours = sum(int(table[others]) for i, table in enumerate(tables) if i != place)
        words = [(int(bits) + neighbours) & 0xFFFFFFFF for bits in tables[place]]
        bits = torch.tensor([execute(UNPACK_PTX.value, 8, word)[place] for word in words], dtype=torch.int32)
        values = bits.to(torch.int16).view(torch.bfloat16).double() * 2.0**126
        assert values.tolist() == [*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)]
