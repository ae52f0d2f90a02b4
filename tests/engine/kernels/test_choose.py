"""The reference that chooses tokens, by its definition."""

import math

import pytest
import torch

from engine.kernels.choose import NO_TOKEN, choose, least_kept
from tests.engine.kernels.choices import choices, overflowing


@pytest.mark.parametrize("vocab", [1, 15, 1024, 5003])
@pytest.mark.parametrize("filtered", [False, True])
def test_the_first_of_the_largest(vocab: int, filtered: bool) -> None:
    logits, draws = choices(vocab, 40, 0.0, filtered=filtered)
    expected = [int((row == row.max()).nonzero()[0]) if row.max().isfinite() else NO_TOKEN for row in logits]
    assert choose(logits, draws).tolist() == expected
    assert expected[3:7] == [NO_TOKEN] * 4


def test_the_number_falls_on_a_token() -> None:
    """Probabilities 0.25, 0.5, 0.25 at temperature 1; at 0.5 they are 1/6, 4/6, 1/6. Nothing falls on the fourth."""
    logits = torch.tensor([[0.25, 0.5, 0.25, 0.0]]).log()
    numbers = torch.tensor([0.0, 0.24, 0.26, 0.74, 0.76, 1 - 2**-52], dtype=torch.float64)
    for temperature, want in ((1.0, [0, 0, 1, 1, 2, 2]), (0.5, [0, 1, 1, 1, 1, 2]), (0.0, [1] * 6)):
        draws = torch.stack((torch.full_like(numbers, temperature), numbers))
        assert choose(logits.expand(6, -1), draws).tolist() == want


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"top_k": 1}, [1]),
        ({"top_k": 2}, [1, 2]),
        ({"top_p": 0.5}, [1]),
        ({"top_p": 0.51}, [1, 2]),
        ({"top_p": 1e-9}, [1]),
        ({"reach": math.log(2)}, [1, 2]),
        ({"reach": math.log(10)}, [0, 1, 2]),
        ({"top_k": 3, "top_p": 0.9}, [1, 2, 0]),
        ({"reach": math.log(2), "top_k": 3, "top_p": 0.6}, [1]),
    ],
)
def test_the_filters_keep_the_best(filters: dict[str, float], kept: list[int]) -> None:
    """top_p is of what the others leave: 0.5 of 0.8 is 0.625."""
    logits = torch.tensor([[0.15, 0.5, 0.3, 0.04999]]).log()
    numbers = {"reach": math.inf, "top_k": math.inf, "top_p": 1.0} | filters
    least = least_kept(logits, torch.ones(1, 1), *torch.tensor([*numbers.values()], dtype=torch.float64)[:, None])
    assert (logits >= least).nonzero()[:, 1].tolist() == sorted(kept)


def test_what_is_as_likely_as_the_last_that_is_kept_stays() -> None:
    logits = torch.tensor([[1.0, 2.0, 1.0, 0.0, 1.0]])
    for top_k, top_p in ((2.0, 1.0), (math.inf, 0.6)):
        draws = torch.tensor([[1.0], [1 - 2**-52], [math.inf], [top_k], [top_p]], dtype=torch.float64)
        assert choose(logits, draws).item() == 4


def test_a_logit_that_overflows_by_its_temperature_chooses_nothing() -> None:
    """Else its probability would be no number, and the choice no token."""
    assert choose(*overflowing()).tolist() == [1, NO_TOKEN, 1]


def test_what_is_chosen_goes_where_it_is_wanted() -> None:
    case, out = choices(15, 20, 0.5), torch.empty(20, dtype=torch.int64)
    assert choose(*case, out) is out
    assert out.equal(choose(*case))
