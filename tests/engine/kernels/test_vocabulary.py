"""The reference that chooses tokens, by its definition."""

import pytest
import torch

from engine.kernels.vocabulary import NO_TOKEN, choose
from tests.engine.kernels.choices import choices


@pytest.mark.parametrize("vocab", [1, 15, 1024, 5003])
def test_the_first_of_the_largest(vocab: int) -> None:
    logits, temperatures, numbers = choices(vocab, 40, 0.0)
    expected = [int((row == row.max()).nonzero()[0]) if row.max().isfinite() else NO_TOKEN for row in logits]
    assert choose(logits, temperatures, numbers).tolist() == expected
    assert expected[3:7] == [NO_TOKEN] * 4


def test_the_number_falls_on_a_token() -> None:
    """Probabilities 0.25, 0.5, 0.25 at temperature 1; at 0.5 they are 1/6, 4/6, 1/6. Nothing falls on the fourth."""
    logits = torch.tensor([[0.25, 0.5, 0.25, 0.0]]).log()
    numbers = torch.tensor([0.0, 0.24, 0.26, 0.74, 0.76, 1 - 2**-52], dtype=torch.float64)
    for temperature, want in ((1.0, [0, 0, 1, 1, 2, 2]), (0.5, [0, 1, 1, 1, 1, 2]), (0.0, [1] * 6)):
        temperatures = torch.full_like(numbers, temperature)
        assert choose(logits.expand(6, -1), temperatures, numbers).tolist() == want


def test_what_is_chosen_goes_where_it_is_wanted() -> None:
    case, out = choices(15, 9, 0.5), torch.empty(9, dtype=torch.int64)
    assert choose(*case, out) is out
    assert out.equal(choose(*case))
