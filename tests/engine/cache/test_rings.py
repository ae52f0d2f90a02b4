"""The ring: what it holds, what is read of it, and that its memory does not grow."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.cache.paged import PagedCache, page_slots
from engine.cache.rolling import RollingCache, ring_read, ring_write
from engine.config import ModelConfig, RopeConfig


def model(window: int, layers: int = 4) -> ModelConfig:
    kinds = ("sliding_attention", "full_attention")
    return ModelConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_heads=2,
        num_kv_heads=1,
        head_dim=4,
        num_experts=2,
        experts_per_token=1,
        window=window,
        layer_types=tuple(kinds[i % 2] for i in range(layers)),  # type: ignore[arg-type]
        max_position=2**20,
        rope=RopeConfig(theta=1e4),
    )


@given(window=st.integers(1, 9), chunks=st.lists(st.integers(1, 25), max_size=12), slot=st.integers(0, 2))
def test_after_t_tokens_the_ring_holds_exactly_the_last_window(window: int, chunks: list[int], slot: int) -> None:
    cache = RollingCache(model(window), slots=3, dtype=torch.float32, device=torch.device("cpu"))
    for each in range(3):
        cache.fill(each, torch.nan)
    keys, _ = cache.layer(2)
    context = 0
    for count in chunks:
        seen = keys[slot * window + ring_read(context, window), 0, 0].tolist()
        assert seen == list(range(max(0, context - window + 1), context))
        positions = np.arange(context, context + count)
        rows, slots = ring_write(positions, context + count, window)
        keys[slot * window + slots] = torch.from_numpy(positions[rows]).float()[:, None, None].expand(-1, 1, 4)
        context += count
        ring = keys[slot * window : (slot + 1) * window, 0, 0]
        held = {p % window: float(p) for p in range(max(0, context - window), context)}
        assert {i: value for i, value in enumerate(ring.tolist()) if value == value} == held
    others = [s for s in range(3) if s != slot]
    assert all(keys[s * window : (s + 1) * window].isnan().all() for s in others)


@given(
    table=st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True),
    page_size=st.integers(1, 7),
    data=st.data(),
)
def test_page_slots_are_those_of_the_block_table(table: list[int], page_size: int, data: st.DataObject) -> None:
    stop = data.draw(st.integers(0, len(table) * page_size))
    start = data.draw(st.integers(0, stop))
    expected = [table[p // page_size] * page_size + p % page_size for p in range(start, stop)]
    assert page_slots(np.array(table), np.arange(start, stop), page_size).tolist() == expected


def test_each_layer_has_its_own_slots() -> None:
    rings = RollingCache(model(4, layers=6), slots=2, dtype=torch.bfloat16, device=torch.device("cpu"))
    pages = PagedCache(model(4, layers=6), 3, 2, torch.bfloat16, torch.device("cpu"))
    assert rings.keys.shape == (3, 8, 1, 4)
    assert pages.keys.shape == (3, 6, 1, 4)
    rings.keys.zero_()
    rings.layer(4)[0][5] = 1
    assert rings.keys.nonzero()[:, :2].unique(dim=0).tolist() == [[2, 5]]
    assert rings.keys.nbytes + rings.values.nbytes == 2 * 3 * 8 * 4 * 2


def test_poison_covers_one_request_and_no_other() -> None:
    rings = RollingCache(model(4), slots=2, dtype=torch.float32, device=torch.device("cpu"))
    rings.keys.zero_()
    rings.fill(1, torch.nan)
    assert rings.keys[:, :4].eq(0).all()
    assert rings.keys[:, 4:].isnan().all()
    pages = PagedCache(model(4), 3, 2, torch.float32, torch.device("cpu"))
    pages.values.zero_()
    pages.fill((0, 2), torch.nan)
    assert pages.values[:, 2:4].eq(0).all()
    assert pages.values[:, [0, 1, 4, 5]].isnan().all()
