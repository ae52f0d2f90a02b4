"""The kernels' layout of MXFP4: where every column goes, and nothing lost."""

from itertools import product

import pytest
import torch
from torch import Tensor

from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.triton.repack import VALUE_BITS, TiledProduct, pack_words, repack


def places() -> list[tuple[int, int, int, int, int, int]]:
    """The docstring's formula: line, word, value, half, row and column of everything in a tile's group."""
    return [
        (16*w + 8*u + s, 4*q + v, 2*c + i, p, 16*w + 8*i + s, 64*u + 16*v + 8*c + 2*q + p)
        for w, u, s, q, v, c, i, p in product(*map(range, (4, 2, 8, 4, 4, 2, 2, 2)))
    ]  # fmt: skip


def read_nibble(words: Tensor, value: int, half: int) -> Tensor:
    """The bits of one value, by `VALUE_BITS`."""
    bits = [(bit + 16 * half) % 32 for bit in VALUE_BITS[value]]
    return sum(((words >> bit & 1) << place for place, bit in enumerate(bits)), torch.zeros_like(words))


def restore(tiled: TiledProduct) -> Mxfp4:
    """The inverse of `repack`, by the formula."""
    values = torch.stack(
        [torch.stack([read_nibble(tiled.blocks, n, half) for half in (0, 1)], -1) for n in range(4)], -2
    )
    line, word, value, half, row, column = torch.tensor(places()).unbind(-1)
    nibbles = torch.empty(*tiled.blocks.shape[:-2], 64, 128, dtype=torch.uint8)
    nibbles[..., row, column] = values[..., line, word, value, half].to(torch.uint8)

    def rows(tensor: Tensor) -> Tensor:
        return tensor.transpose(2, 3).flatten(3).flatten(1, 2)[:, : tiled.rows]

    numbers = rows(nibbles)[..., : tiled.columns]
    exponents = tiled.scales.unsqueeze(-1).view(torch.uint8)
    scales = rows(exponents)[..., : tiled.columns // 32].int() - 126 + tiled.exponent
    blocks = numbers[..., ::2] | numbers[..., 1::2] << 4
    return Mxfp4(blocks.unflatten(-1, (-1, 16)), scales.to(torch.uint8))


def test_a_tiles_group_has_a_place_for_every_value_and_every_bit_of_a_word_a_use() -> None:
    assert sorted((row, column) for *_, row, column in places()) == list(product(range(64), range(128)))
    bits = [(bit + 16 * half) % 32 for value in VALUE_BITS for bit in value for half in (0, 1)]
    assert sorted(bits) == list(range(32))


def test_each_value_goes_to_the_place_of_the_formula() -> None:
    torch.manual_seed(0)
    nibbles = torch.randint(16, (64, 128), dtype=torch.uint8)
    words = pack_words(nibbles)
    for line, word, value, half, row, column in places():
        assert read_nibble(words[line, word], value, half) == nibbles[row, column]


@pytest.mark.parametrize("highest_scale", [128, 129, 240])
@pytest.mark.parametrize(("rows", "columns"), [(64, 128), (70, 96), (192, 160), (1, 32)])
def test_nothing_is_lost(rows: int, columns: int, highest_scale: int) -> None:
    torch.manual_seed(rows)
    blocks = torch.randint(256, (3, rows, columns // 32, 16), dtype=torch.uint8)
    scales = torch.randint(highest_scale - 100, highest_scale, (3, rows, columns // 32), dtype=torch.uint8)
    scales[1, 0, 0] = highest_scale
    tiled = repack(Mxfp4(blocks, scales), torch.zeros(3, rows))
    tiles, groups = -(-rows // 64), -(-columns // 128)
    assert tiled.blocks.shape == (3, tiles, groups, 64, 16)
    assert tiled.scales.shape == (3, tiles, groups, 64)
    assert tiled.exponent == highest_scale - 128
    restored = restore(tiled)
    assert torch.equal(restored.blocks, blocks)
    assert torch.equal(restored.scales, scales)


def test_padding_weighs_nothing() -> None:
    """What is beyond the rows and columns is 0, with a scale of 0."""
    ones = torch.full((1, 3, 1, 16), 0x22, dtype=torch.uint8)
    tiled = repack(Mxfp4(ones, torch.full((1, 3, 1), 127, dtype=torch.uint8)), torch.zeros(1, 3))
    assert (
        sum(read_nibble(tiled.blocks, value, half).count_nonzero() for value in range(4) for half in (0, 1)) == 3 * 32
    )
    assert tiled.scales.view(torch.uint8).count_nonzero() == 3
