"""The sampler: each parameter does what it says, and no row disturbs another."""

import itertools
import math
from collections import Counter
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.errors import GenerationError
from engine.kernels.choose import choose
from engine.request import SamplingParams
from engine.sampling.adjust import BANNED, Adjustments
from engine.sampling.noise import seeds_of, uniform
from engine.sampling.occurrences import Occurrences
from engine.sampling.rows import Coming, SamplingRow
from engine.sampling.sampler import Sampled, Sampler


class Row(NamedTuple):
    """What is sampled, and after how many tokens of the answer."""

    row: SamplingRow
    written: int


def row(
    prompt: tuple[int, ...] = (),
    generated: tuple[int, ...] = (),
    banned: tuple[int, ...] = (),
    **params: object,
) -> Row:
    sampling = SamplingParams(min_tokens=len(generated) + bool(banned), **params)  # type: ignore[arg-type]
    occurrences = Occurrences(prompt, generated) if sampling.penalised else None
    return Row(SamplingRow(sampling, frozenset(banned), occurrences), len(generated))


def sample(logits: Tensor, rows: list[Row]) -> list[Sampled]:
    sampler = Sampler([each.row for each in rows], logits.shape[1], logits.device, choose)
    return [one for one in sampler(logits, [each.written for each in rows]).read() if isinstance(one, Sampled)]


def adjust(logits: Tensor, rows: list[Row], coming: Coming | None = None) -> Tensor:
    adjusted = Adjustments([each.row for each in rows], logits.device)
    return adjusted(logits, [each.written for each in rows], coming)


def logits_of(*probabilities: float) -> Tensor:
    return torch.tensor([probabilities]).log()


def frequencies(logits: Tensor, draws: int = 4000, **params: object) -> list[float]:
    rows = [row(seed=seed, **params) for seed in range(draws)]
    counts = Counter(s.token_id for s in sample(logits.expand(draws, -1), rows))
    return [counts[token] / draws for token in range(logits.shape[1])]


def test_temperature_zero_takes_the_best() -> None:
    assert sample(logits_of(0.2, 0.5, 0.3), [row(temperature=0)])[0].token_id == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_row_that_is_not_finite_has_no_token_and_its_neighbour_has(temperature: float, broken: float) -> None:
    rows = [SamplingRow(SamplingParams(temperature=temperature, top_k=1, seed=1, logprobs=0))] * 2
    logits = torch.tensor([[1.0, broken, 2.0], [1.0, 3.0, 2.0]])
    bad, good = Sampler(rows, 3, logits.device, choose)(logits, [0, 0]).read()
    assert isinstance(bad, GenerationError)
    assert isinstance(good, Sampled)
    assert good.token_id == 1


def test_tokens_that_are_known_hold_for_logits_that_nothing_changes() -> None:
    logits, known = logits_of(0.2, 0.5, 0.3), torch.tensor([1])
    for bias, token in (({}, 1), ({2: 5.0}, 2)):
        rows = [SamplingRow(SamplingParams(temperature=0, logit_bias=bias))]
        (chosen,) = Sampler(rows, 3, logits.device, choose)(logits, [0], None, known).read()
        assert chosen == Sampled(token)


def test_draws_follow_the_distribution() -> None:
    drawn = frequencies(logits_of(0.2, 0.5, 0.3))
    assert drawn == pytest.approx([0.2, 0.5, 0.3], abs=0.03)


def test_one_seeds_draws_follow_the_distribution() -> None:
    rows = [Row(SamplingRow(SamplingParams(seed=7)), written) for written in range(4000)]
    counts = Counter(each.token_id for each in sample(logits_of(0.2, 0.5, 0.3).expand(4000, -1), rows))
    assert [counts[token] / 4000 for token in range(3)] == pytest.approx([0.2, 0.5, 0.3], abs=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    drawn = frequencies(logits_of(0.2, 0.8), temperature=0.5)
    assert drawn == pytest.approx([0.04 / 0.68, 0.64 / 0.68], abs=0.03)


def test_a_tiny_temperature_is_greedy_and_finite() -> None:
    assert sample(torch.tensor([[300.0, 301.0]]), [row(temperature=1e-30)])[0].token_id == 1
    assert sample(torch.tensor([[300.0, 301.0]]), [row(temperature=1e-5)])[0].token_id == 1


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"top_k": 1}, {1}),
        ({"top_k": 2}, {1, 2}),
        ({"top_k": 9}, {0, 1, 2, 3}),
        ({"top_k": 0}, {0, 1, 2, 3}),
        ({"top_p": 0.5}, {1}),
        ({"top_p": 0.51}, {1, 2}),
        ({"top_p": 1e-9}, {1}),
        ({"min_p": 0.59}, {1, 2}),
        ({"min_p": 0.29}, {0, 1, 2}),
        ({"min_p": 0.29, "temperature": 0.5}, {1, 2}),
        ({"top_k": 3, "top_p": 0.9}, {1, 2, 0}),
        ({"min_p": 0.5, "top_k": 3, "top_p": 0.6}, {1}),
    ],
)
def test_the_filters_keep_the_best(params: dict[str, float], kept: set[int]) -> None:
    drawn = frequencies(logits_of(0.15, 0.5, 0.3, 0.04999), draws=400, **params)
    assert {token for token, share in enumerate(drawn) if share} == kept


def test_filters_change_nothing_for_a_neighbour() -> None:
    plain, greedy = row(seed=3), row(temperature=0, top_k=2)
    logits = torch.randn(3, 50)
    for filtered in (row(seed=1, top_p=0.3), row(seed=1, top_k=1), row(seed=1, min_p=0.9)):
        together = sample(logits, [plain, filtered, greedy])
        assert together[0] == sample(logits[:1], [plain])[0]
        assert together[2].token_id == logits[2].argmax()


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_a_row_is_sampled_the_same_in_any_batch(data: st.DataObject) -> None:
    params = st.fixed_dictionaries(
        {
            "temperature": st.sampled_from([0.0, 0.3, 1.0, 2.0]),
            "top_k": st.sampled_from([0, 1, 3]),
            "top_p": st.sampled_from([1.0, 0.9, 0.2]),
            "min_p": st.sampled_from([0.0, 0.3]),
            "seed": st.integers(-5, 2**64 - 1),
            "presence_penalty": st.sampled_from([0.0, 1.5]),
            "frequency_penalty": st.sampled_from([0.0, -0.5]),
            "repetition_penalty": st.sampled_from([1.0, 1.3]),
            "logprobs": st.sampled_from([None, 0, 2]),
        }
    )
    history = st.lists(st.integers(0, 9), max_size=6).map(tuple)
    batch = data.draw(
        st.lists(st.builds(lambda p, g, k: row(p, g, **k), history, history, params), min_size=1, max_size=6)
    )
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    logits = torch.randn(len(batch), 10, generator=generator)
    together = sample(logits, batch)
    alone = [sample(logits[i : i + 1], [one])[0] for i, one in enumerate(batch)]
    assert together == alone


def test_penalties_by_their_formulas() -> None:
    logits = torch.tensor([[1.0, 1.0, 1.0, -1.0]])
    adjusted = adjust(
        logits,
        [row((0, 3), (1, 1), presence_penalty=0.5, frequency_penalty=0.25, repetition_penalty=2.0)],
    )
    assert adjusted.tolist() == [[0.5, 0.5 - 2 * 0.25 - 0.5, 1.0, -2.0]]
    assert logits.tolist() == [[1.0, 1.0, 1.0, -1.0]]


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_a_token_to_come_is_penalised_as_a_known_one(last: int) -> None:
    """Also beside a row whose last token is known; in the prompt alone, in the answer, or nowhere before."""
    params = {"presence_penalty": 0.5, "frequency_penalty": 0.25, "repetition_penalty": 2.0}
    logits = torch.tensor([[1.0, -1.0, 3.0, -2.0, 5.0]] * 3)
    known = [row((0, 3), (1, 1, last), **params), row((0,), (4,), **params), row()]
    unread = [row((0, 3), (1, 1), **params), *known[1:]]
    coming = Coming([0], torch.tensor([last]))
    assert adjust(logits, unread, coming).equal(adjust(logits, known))


def test_bias_and_bans_touch_their_row_alone() -> None:
    adjusted = adjust(torch.zeros(3, 3), [row(), row(logit_bias={2: 5.0, 0: -1.0}), row(banned=(1,))])
    assert adjusted.tolist() == [[0, 0, 0], [-1, 0, 5], [0, torch.tensor(BANNED).item(), 0]]


def test_of_equally_likely_tokens_the_lower_ids_are_listed_whatever_the_neighbours_ask_for() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0]]).expand(2, -1)
    for others in (0, 3, 8, 20):
        sampled, _ = sample(logits, [row(temperature=0, logprobs=4), row(temperature=0, logprobs=others)])
        assert sampled.logprob is not None
        assert [token for token, _ in sampled.logprob.top] == [1, 3, 2, 4]


def test_occurrences_grow_as_they_are_counted_anew() -> None:
    prompt, answer = [3, 1, 3, 2], [5, 1, 5, 5, 7]
    grown, anew = Occurrences(prompt), Occurrences(prompt, answer)
    for token in answer:
        grown.add(token)
    assert grown.tokens.tolist() == anew.tokens.tolist()
    assert grown.counts.tolist() == anew.counts.tolist()


def test_logprobs_are_the_models_own_and_agree_with_the_best() -> None:
    logits = logits_of(0.2, 0.5, 0.3)
    (sampled,) = sample(logits, [row(temperature=0, logprobs=2, logit_bias={2: 50.0})])
    assert sampled.token_id == 2
    assert sampled.logprob is not None
    assert sampled.logprob.logprob == pytest.approx(math.log(0.3))
    assert [token for token, _ in sampled.logprob.top] == [1, 2]
    assert sampled.logprob.logprob == sampled.logprob.top[1][1]


def test_noise_is_uniform_and_depends_on_seed_and_index() -> None:
    seeds, written = zip(*itertools.product(range(50), range(50)), strict=True)
    numbers = uniform(seeds_of(seeds), written)
    assert len(set(numbers.tolist())) == 2500
    assert 0 <= numbers.min() <= numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=0.02)
    assert seeds_of([-1, 2**64 - 1]).tolist() == [2**64 - 1] * 2


def test_logits_that_nothing_changes_are_not_copied() -> None:
    logits = torch.randn(2, 3)
    assert adjust(logits, [row(temperature=0.7), row()]) is logits
    kept = logits.clone()
    assert not adjust(logits, [row(), row(logit_bias={1: 2.0})]).equal(logits)
    assert logits.equal(kept)
