"""MXFP4 in the order of the C++ ops is the same matrix."""

import pytest
import torch

from engine.kernels.cpu.library import Library
from engine.kernels.cpu.ordered import order, published
from engine.kernels.mxfp4 import Mxfp4


@pytest.mark.parametrize("columns", [32, 64, 96, 128, 160, 352, 2880])
def test_order_and_back(library: Library, columns: int) -> None:
    torch.manual_seed(columns)
    blocks = torch.randint(0, 256, (3, 5, columns // 32, 16), dtype=torch.uint8)
    matrix = Mxfp4(blocks, torch.randint(120, 130, blocks.shape[:3], dtype=torch.uint8))
    expected = torch.stack([matrix.unpack(expert, torch.float32) for expert in range(3)])
    ordered = order(library, Mxfp4(blocks.clone(), matrix.scales))
    assert not torch.equal(ordered.blocks, blocks)
    assert torch.equal(published(ordered.blocks), blocks)
    assert torch.equal(torch.stack([ordered.unpack(expert, torch.float32) for expert in range(3)]), expected)


def test_a_shape_that_the_op_does_not_know_is_unpacked_from_there(library: Library) -> None:
    """Words of 128 columns hold neighbours: of 16 ordered words the second is of the columns 1, 17, 33 and 49."""
    blocks = torch.zeros(1, 1, 2, 16, dtype=torch.uint8)
    ordered = order(library, Mxfp4(blocks, torch.full((1, 1, 2), 127, dtype=torch.uint8)))
    ordered.blocks.view(torch.int16).view(-1)[1] = 0x4321
    row = ordered.unpack(0, torch.float32)[0]
    assert {column: row[column].item() for column in row.nonzero()[:, 0].tolist()} == {
        1: 0.5,
        17: 1.0,
        33: 1.5,
        49: 2.0,
    }
