"""Choosing tokens in C++ against the reference."""

import pytest
import torch

from engine.kernels.choose import NO_TOKEN
from engine.kernels.choose import choose as reference
from engine.kernels.cpu.choose import choose
from engine.kernels.cpu.library import Library
from tests.engine.kernels.choices import choices, overflowing


@pytest.mark.parametrize("vocab", [1, 15, 1024, 5003, 70_000])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("filtered", [False, True])
def test_the_choice_is_the_references(library: Library, vocab: int, share: float, filtered: bool) -> None:
    (logits, draws), out = choices(vocab, 40, share, filtered=filtered), torch.empty(40, dtype=torch.int64)
    want = reference(logits, draws)
    apart = torch.cat((draws, draws), dim=1)[:, :40]
    assert choose(library, logits, apart, out) is out
    assert out.equal(want)
    assert choose(library, logits, draws).equal(want)
    assert (want[3:7] == NO_TOKEN).all()


def test_a_logit_that_overflows_by_its_temperature_chooses_nothing(library: Library) -> None:
    assert choose(library, *overflowing()).tolist() == [1, NO_TOKEN, 1]
