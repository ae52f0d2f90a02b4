"""Rings put aside in pages come back as they were, whatever the layers, and nothing else is touched."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.put_aside import RingPages
from engine.cache.rolling import RollingCache
from engine.config import LayerType, ModelConfig
from tests.engine.cache.test_rings import model

SLIDING: LayerType = "sliding_attention"
FULL: LayerType = "full_attention"
KINDS: dict[str, tuple[LayerType, ...]] = {
    "as many": (SLIDING, FULL) * 2,
    "one more": (SLIDING, FULL, SLIDING),
    "many more": (SLIDING,) * 5 + (FULL,) * 2,
    "fewer": (FULL, SLIDING, FULL, FULL),
    "none": (FULL, FULL),
}
PAGES, SLOTS = 60, 3


def caches(config: ModelConfig, page_size: int, dtype: torch.dtype) -> tuple[RollingCache, PagedCache]:
    """Every place with bytes of its own, NaN's among them."""
    device = torch.device("cpu")
    rings, pages = RollingCache(config, SLOTS, dtype, device), PagedCache(config, PAGES, page_size, dtype, device)
    for seed, cache in enumerate((rings.keys, rings.values, pages.keys, pages.values)):
        noise = torch.randint(256, raw(cache).shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        raw(cache).copy_(noise)
    return rings, pages


def raw(tensor: Tensor) -> Tensor:
    return tensor.view(torch.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("window", "page_size"), [(8, 4), (7, 4), (3, 5), (16, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
def test_there_and_back(kind: str, window: int, page_size: int, dtype: torch.dtype) -> None:
    config = replace(model(window), layer_types=KINDS[kind])
    rings, pages = caches(config, page_size, dtype)
    put_aside = RingPages(rings, pages)
    count = put_aside.count
    assert count is not None
    places = torch.randperm(PAGES, generator=torch.Generator().manual_seed(1))[:count].tolist()
    before = [raw(each).clone() for each in (rings.keys, rings.values)]
    paged = [raw(each).clone() for each in (pages.keys, pages.values)]
    put_aside.save(1, places)
    others = torch.ones(PAGES, page_size, dtype=torch.bool)
    others[places] = False
    for each, old in zip((pages.keys, pages.values), paged, strict=True):
        assert raw(each)[:, others.flatten()].equal(old[:, others.flatten()])
    for slot in range(SLOTS):
        rings.fill(slot, 0.0)
    put_aside.restore(2, places)
    for each, old in zip((rings.keys, rings.values), before, strict=True):
        assert raw(each)[:, 2 * window :].equal(old[:, window : 2 * window])
        assert not raw(each)[:, : 2 * window].any()


def test_how_many_pages() -> None:
    def needed(kind: str, window: int, page_size: int) -> int | None:
        config = replace(model(window), layer_types=(KINDS | {"no pages": (SLIDING,)})[kind])
        return RingPages(*caches(config, page_size, torch.float32)).count

    assert needed("as many", 128, 16) == 8
    assert needed("one more", 128, 16) == 16
    assert needed("many more", 8, 3) == 9
    assert needed("none", 8, 3) == 0
    assert needed("no pages", 8, 4) is None


def test_the_beginning_of_a_page() -> None:
    _, pages = caches(model(8), 4, torch.bfloat16)
    before = raw(pages.keys).clone()
    pages.copy(5, 9, 3)
    after = raw(pages.keys)
    assert after[:, 36:39].equal(before[:, 20:23])
    assert after[:, 39:].equal(before[:, 39:])
    assert after[:, :36].equal(before[:, :36])
