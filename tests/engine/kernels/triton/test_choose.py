"""Choosing tokens in Triton's interpreter against the reference."""

from dataclasses import replace

import pytest
import torch

from engine.kernels.triton import choose as kernels
from engine.kernels.triton.choose import choose
from engine.kernels.vocabulary import NO_TOKEN
from engine.kernels.vocabulary import choose as reference
from tests.engine.kernels.choices import choices
from tests.engine.kernels.triton.ahead import compile_ahead
from tests.engine.kernels.triton.launches import record_launches


@pytest.mark.parametrize("tile", [16, 4096])
@pytest.mark.parametrize("vocab", [1, 15, 64, 1001])
def test_the_choice_is_the_references(monkeypatch: pytest.MonkeyPatch, vocab: int, tile: int) -> None:
    monkeypatch.setattr(kernels, "TILE", tile)
    for share in 0.0, 0.5, 1.0:
        logits, temperatures, numbers = choices(vocab, 24, share)
        want = reference(logits, temperatures, numbers)
        apart = torch.cat((logits, torch.full_like(logits, torch.inf)), dim=1)[:, :vocab]
        out = torch.empty(24, dtype=torch.int64)
        assert choose(apart, temperatures, numbers, out) is out
        assert out.equal(want)
        assert choose(logits, temperatures, numbers).equal(want)
        assert (want[3:7] == NO_TOKEN).all()


def test_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "TILE", 4)
    ones = torch.ones(1, dtype=torch.float64)
    for number, token in ((0.0, 0), (0.55, 5), (0.7999, 7), (0.8001, 8), (1 - 2**-52, 9)):
        assert choose(torch.zeros(1, 10), ones, number * ones).item() == token


def test_nothing_spills() -> None:
    def published() -> None:
        logits = torch.empty(2, 201_088, device="meta")
        numbers = torch.empty(2, dtype=torch.float64, device="meta")
        choose(logits, numbers, numbers)

    launches = record_launches(published, kernels)
    assert [launch.name.split(":")[1] for launch in launches] == ["weigh_tiles", "pick_tokens"]
    on_each = [replace(launch, capability=capability) for launch in launches for capability in (80, 90, 100)]
    assert [binary.spills for binary in compile_ahead(on_each)] == [0] * 6
