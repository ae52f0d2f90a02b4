"""The tiles that the device makes, in Triton's interpreter, against sorting in torch."""

from dataclasses import replace

import pytest
import torch

from engine.kernels.triton import routing
from engine.kernels.triton.routing import make_tiles, most_tiles, sort_pairs
from tests.engine.kernels.triton.ahead import compile_ahead
from tests.engine.kernels.triton.launches import record_launches


def test_the_worked_example() -> None:
    tiles = sort_pairs(torch.tensor([[2], [0], [2], [2], [0]]), 4, 2)
    assert tiles.order.tolist() == [1, 4, 0, 2, 3]
    assert tiles.experts.tolist() == [0, 2, 2, 0]
    assert tiles.firsts.tolist() == [0, 2, 4, 0]
    assert tiles.lasts.tolist() == [2, 4, 5, 0]


@pytest.mark.parametrize("blocks", [2, routing.MOST_BLOCKS])
@pytest.mark.parametrize(
    ("tokens", "choices", "count", "tile"),
    [(1, 1, 1, 16), (20, 4, 5, 16), (9, 4, 128, 16), (70, 1, 3, 32), (300, 4, 32, 64), (300, 4, 128, 16)],
)
def test_tiles_hold_every_pair_once_in_the_order_of_experts(
    monkeypatch: pytest.MonkeyPatch, tokens: int, choices: int, count: int, tile: int, blocks: int
) -> None:
    """Whether a program sorts its pairs at a time or in turns."""
    monkeypatch.setattr(routing, "MOST_BLOCKS", blocks)
    torch.manual_seed(tokens)
    experts = torch.rand(tokens, count).argsort(dim=-1)[:, :choices].contiguous()
    tiles = sort_pairs(experts, count, tile)
    assert tiles.order.tolist() == experts.flatten().sort(stable=True).indices.tolist()
    assert len(tiles.experts) == tiles.count == most_tiles(tokens * choices, count, tile)
    seen = []
    for expert, first, last in zip(tiles.experts, tiles.firsts, tiles.lasts, strict=True):
        pairs = tiles.order[first:last]
        assert len(pairs) <= tile
        assert (experts.flatten()[pairs] == expert).all()
        seen += pairs.tolist()
    assert seen == tiles.order.tolist()


def test_one_experts_pairs_fill_many_tiles() -> None:
    tiles = sort_pairs(torch.full((50, 1), 3), 4, 16)
    assert tiles.experts.tolist() == [3, 3, 3, 3, 0, 0]
    assert tiles.lasts.sub(tiles.firsts).tolist() == [16, 16, 16, 2, 0, 0]


@pytest.mark.parametrize("count", [4, 40])
def test_pairs_of_no_expert_are_in_no_tile(count: int) -> None:
    torch.manual_seed(count)
    experts = torch.rand(70, count).argsort(dim=-1)[:, :3].contiguous()
    experts[[0, 30, 31, 69]] = -1
    flat, tiles = experts.flatten(), sort_pairs(experts, count, 16)
    want = [pair for pair in flat.sort(stable=True).indices.tolist() if flat[pair] >= 0]
    assert tiles.order[: len(want)].tolist() == want
    covered = [place for first, last in zip(tiles.firsts, tiles.lasts, strict=True) for place in range(first, last)]
    assert covered == list(range(len(want)))


def test_few_pairs_are_not_sorted() -> None:
    assert make_tiles(torch.zeros(4, 4, dtype=torch.int64), 32, 128).direct
    tiles = make_tiles(torch.arange(20)[:, None] % 5, 5, 128)
    assert (tiles.direct, tiles.tokens) == (False, 16)


def test_nothing_spills() -> None:
    launches = [
        replace(launch, capability=capability)
        for count in (32, 128)
        for launch in record_launches(
            lambda count=count: sort_pairs(torch.empty(256, 4, dtype=torch.int64, device="meta"), count, 64), routing
        )
        for capability in (80, 90, 100)
    ]
    assert [binary.spills for binary in compile_ahead(launches)] == [0] * 12
