"""The kernels' layout of MXFP4: where every column goes, and nothing lost."""

import doctest

import pytest
import torch
from torch import Tensor

from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.triton import repack as module
from engine.kernels.triton.repack import TiledProduct, permute_nibbles, repack


def column(byte: int, nibble: int) -> int:
    """The docstring's formula, backwards."""
    q, j, p = byte // 16, byte // 2 % 8, byte % 2
    return 64 * nibble + 8 * j + 2 * q + p


def restore(tiled: TiledProduct) -> Mxfp4:
    """The inverse of `repack`, by the formula."""
    places = torch.tensor([column(byte, nibble) for nibble in range(2) for byte in range(64)])
    nibbles = torch.empty(*tiled.blocks.shape[:-1], 128, dtype=torch.uint8)
    nibbles[..., places] = torch.cat((tiled.blocks & 15, tiled.blocks >> 4), dim=-1)

    def rows(tensor: Tensor) -> Tensor:
        return tensor.transpose(2, 3).flatten(3).flatten(1, 2)[:, : tiled.rows]

    values = rows(nibbles)[..., : tiled.columns]
    scales = rows(tiled.scales)[..., : tiled.columns // 32].int() - 126 + tiled.exponent
    blocks = values[..., ::2] | values[..., 1::2] << 4
    return Mxfp4(blocks.unflatten(-1, (-1, 16)), scales.to(torch.uint8))


def test_the_worked_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_each_column_goes_to_the_byte_and_nibble_of_the_formula() -> None:
    assert sorted(column(byte, nibble) for byte in range(64) for nibble in range(2)) == list(range(128))
    for byte in range(64):
        for nibble in range(2):
            values = torch.zeros(128, dtype=torch.uint8)
            values[column(byte, nibble)] = 9
            assert permute_nibbles(values).nonzero().tolist() == [[byte]]
            assert permute_nibbles(values)[byte] == 9 << 4 * nibble


@pytest.mark.parametrize("highest_scale", [128, 129, 240])
@pytest.mark.parametrize(("rows", "columns"), [(64, 128), (70, 96), (192, 160), (1, 32)])
def test_nothing_is_lost(rows: int, columns: int, highest_scale: int) -> None:
    torch.manual_seed(rows)
    blocks = torch.randint(256, (3, rows, columns // 32, 16), dtype=torch.uint8)
    scales = torch.randint(highest_scale - 100, highest_scale, (3, rows, columns // 32), dtype=torch.uint8)
    scales[1, 0, 0] = highest_scale
    tiled = repack(Mxfp4(blocks, scales), torch.zeros(3, rows))
    tiles, groups = -(-rows // 64), -(-columns // 128)
    assert tiled.blocks.shape == (3, tiles, groups, 64, 64)
    assert tiled.scales.shape == (3, tiles, groups, 64, 4)
    assert tiled.exponent == highest_scale - 128
    restored = restore(tiled)
    assert torch.equal(restored.blocks, blocks)
    assert torch.equal(restored.scales, scales)


def test_padding_weighs_nothing() -> None:
    """What is beyond the rows and columns is 0, with a scale of 0."""
    ones = torch.full((1, 3, 1, 16), 0x22, dtype=torch.uint8)
    tiled = repack(Mxfp4(ones, torch.full((1, 3, 1), 127, dtype=torch.uint8)), torch.zeros(1, 3))
    assert tiled.blocks.count_nonzero() == 3 * 32
    assert tiled.scales.count_nonzero() == 3
