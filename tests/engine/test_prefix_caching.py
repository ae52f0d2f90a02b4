"""A prompt that goes on from another one's brings what it brings alone: cached is cold."""

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from engine.config import Dtype, FaultPlan, KvCacheDtype
from engine.engine import Engine
from engine.request import FinishReason, Request, SamplingParams, TokenEvent
from tests.checkpoints import passing_directory, small_config, write_checkpoint
from tests.engines import build_engine, run, shrink, tokens

LONGEST, LEAST = 320, 8
WINDOW = small_config().window


@cache
def checkpoint() -> Path:
    return write_checkpoint(passing_directory("prefixes"), small_config(head_dim=32), seed=3)


def engine(**overrides: object) -> Engine:
    settings = {"max_model_len": LONGEST, "page_size": 4, "max_num_seqs": 4} | overrides
    made = build_engine(checkpoint(), **settings)
    if made.scheduler.prefixes is not None:
        made.scheduler.prefixes.least, made.scheduler.prefixes.spacing = LEAST, 32
    return made


def conversation(seed: int, turns: int = 4, max_tokens: int = 12) -> list[Request]:
    """Each prompt begins with the one before it, and goes on from any place in a page."""
    numbers = random.Random(seed)
    sampling = SamplingParams(temperature=0.8, seed=seed, max_tokens=max_tokens, ignore_eos=True, logprobs=2)
    prompt: list[int] = []
    requests = []
    for turn in range(turns):
        prompt += [numbers.randrange(4, 150) for _ in range(numbers.randrange(17, 70))]
        requests.append(Request(id=f"{seed}-{turn}", prompt_token_ids=tuple(prompt), sampling=sampling))
    return requests


def cached(events: list[TokenEvent]) -> int:
    return sum(event.cached_tokens for event in events)


def assert_same(got: list[TokenEvent], cold: list[TokenEvent], *, exactly: bool) -> None:
    if exactly:
        assert got == cold
        return
    assert tokens(got) == tokens(cold)
    values, expected = ([one.logprob for event in each for one in event.logprobs] for each in (got, cold))
    assert values == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("run_ahead", [False, True])
@pytest.mark.parametrize("budget", [16, 45, 256])
@pytest.mark.parametrize(
    ("dtype", "kv_cache_dtype", "deterministic", "exactly"),
    [
        ("float32", "auto", False, False),
        ("float32", "auto", True, True),
        ("bfloat16", "auto", False, True),
        ("bfloat16", "fp8", True, True),
    ],
)
def test_turn_after_turn(
    dtype: Dtype, kv_cache_dtype: KvCacheDtype, deterministic: bool, exactly: bool, budget: int, run_ahead: bool
) -> None:
    how = {
        "dtype": dtype,
        "kv_cache_dtype": kv_cache_dtype,
        "deterministic": deterministic,
        "max_num_batched_tokens": budget,
        "run_ahead": run_ahead,
    }
    warm, cold = engine(**how), engine(**how, enable_prefix_caching=False)
    turns = conversation(1)
    for before, request in zip([None, *turns], turns, strict=False):
        got, expected = run(warm, [request])[request.id], run(cold, [request])[request.id]
        assert_same(got, expected, exactly=exactly)
        assert cached(expected) == 0
        assert cached(got) == (0 if before is None else len(before.prompt_token_ids))
        again = run(warm, [request])[request.id]
        assert_same(again, expected, exactly=exactly)
        assert len(request.prompt_token_ids) - LEAST < cached(again) < len(request.prompt_token_ids)


def test_beside_others_and_under_pressure() -> None:
    """Conversations side by side in few pages: prefixes come and go, requests are preempted."""
    talks = [conversation(seed, max_tokens=50) for seed in range(4)]
    cold = engine(enable_prefix_caching=False)
    alone = {request.id: run(cold, [request])[request.id] for talk in talks for request in talk}
    crowded = engine(max_num_batched_tokens=40)
    shrink(crowded, LONGEST // 4 + 24)
    hits = 0
    for turn in range(4):
        for request_id, got in run(crowded, [talk[turn] for talk in talks]).items():
            assert_same(got, alone[request_id], exactly=False)
            hits += cached(got) > 0
    assert crowded.scheduler.preemptions > 0
    assert hits >= 4


def test_at_once() -> None:
    """Several go on from one prefix in one step, and from where the first is still writing."""
    first, second, *_ = conversation(5)
    followers = [replace(second, id=f"f{i}", prompt_token_ids=(*second.prompt_token_ids, i)) for i in range(4, 7)]
    cold = engine(enable_prefix_caching=False)
    alone = {request.id: run(cold, [request])[request.id] for request in (first, *followers)}
    warm = engine()
    warm.add(first)
    events = warm.step()
    for follower in followers:
        warm.add(follower)
    while not warm.idle:
        events += warm.step()
    for request_id, expected in alone.items():
        got = [event for event in events if event.request_id == request_id]
        assert_same(got, expected, exactly=False)
        assert cached(got) == (0 if request_id == first.id else len(first.prompt_token_ids))


@pytest.mark.parametrize("run_ahead", [False, True])
@pytest.mark.parametrize("budget", [20, 64, 400])
def test_copies_of_a_prompt_are_computed_once(budget: int, run_ahead: bool) -> None:
    """All but the first go on from its end, wherever in a step that lies, and answer as if each were alone."""
    *_, long = conversation(6)
    copies = [replace(long, id=f"c{n}", sampling=replace(long.sampling, seed=n)) for n in range(4)]
    cold = engine(enable_prefix_caching=False)
    alone = {request.id: run(cold, [request])[request.id] for request in copies}
    warm = engine(max_num_batched_tokens=budget, run_ahead=run_ahead)
    assert warm.scheduler.prefixes is not None
    warm.scheduler.prefixes.worth_waiting = 32
    together = run(warm, copies)
    for request_id, expected in alone.items():
        assert_same(together[request_id], expected, exactly=False)
    length = len(long.prompt_token_ids)
    assert sorted(cached(events) for events in together.values()) == [0, *[length - 1] * 3]


@pytest.mark.parametrize("budget", [16, 256])
def test_the_next_question_to_the_same_instructions(budget: int) -> None:
    """From wherever in a page they end."""
    sampling = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True, logprobs=2)
    cold, warm = (engine(max_num_batched_tokens=budget, enable_prefix_caching=keeps) for keeps in (False, True))
    for length in range(60, 65):
        instructions = tuple(range(length, 2 * length))
        for question in (1, 2):
            prompt = (*instructions, *range(question, 150, 7))
            asked = Request(id="asked", prompt_token_ids=prompt, sampling=sampling, instructions=length)
            got = run(warm, [asked])["asked"]
            assert_same(got, run(cold, [asked])["asked"], exactly=False)
            assert cached(got) == (length if question == 2 else 0)


def test_what_has_failed_is_not_kept() -> None:
    """Nor of what fails later on."""
    spoils = 151
    broken = engine(faults=FaultPlan(spoils=spoils))
    prompt = tuple(range(10, 60))
    sampling = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=0, logit_bias={spoils: -100.0})
    bad = Request(id="bad", prompt_token_ids=(*prompt, spoils, *prompt[:10]), sampling=sampling)
    assert run(broken, [bad])["bad"][-1].finish_reason is FinishReason.ERROR
    assert len(broken.scheduler.prefixes or ()) == 0
    good = Request(id="good", prompt_token_ids=prompt, sampling=sampling)
    truth = run(engine(enable_prefix_caching=False), [replace(good, prompt_token_ids=(*prompt, 70, 71))])["good"]
    late = replace(sampling, logit_bias={spoils: 100.0})
    assert run(broken, [replace(good, sampling=late)])["good"][-1].finish_reason is FinishReason.ERROR
    got = run(broken, [replace(good, prompt_token_ids=(*prompt, 70, 71))])["good"]
    assert cached(got) == 0
    assert_same(got, truth, exactly=False)


@pytest.mark.parametrize("budget", [16, 24])
def test_a_step_that_fails_is_made_good(budget: int) -> None:
    """Who goes on from a prefix runs again from there, if its chunks have turned its rings; the prefix stays so."""
    raises = 150
    how = {"deterministic": True, "max_num_batched_tokens": budget}
    broken = engine(**how, faults=FaultPlan(raises=raises))
    never = {raises: -100.0}
    sampling = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True, logprobs=2, logit_bias=never)
    stem = tuple(range(10, 70))
    cold = engine(**how, enable_prefix_caching=False)
    first = Request(id="first", prompt_token_ids=stem, sampling=sampling)
    second = Request(id="second", prompt_token_ids=(*stem, *range(80, 140)), sampling=sampling)
    third = Request(id="third", prompt_token_ids=(*stem, 5, 6, 7), sampling=sampling)
    truth = {each.id: run(cold, [each])[each.id] for each in (first, second, third)}
    assert run(broken, [first])["first"] == truth["first"]
    for steps in range(4):
        bad = Request(id="bad", prompt_token_ids=(9, raises), sampling=sampling, priority=-1)
        got = []
        broken.add(second)
        for _ in range(steps):
            got += broken.step()
        broken.add(bad)
        while not broken.idle:
            got += broken.step()
        seconds = [event for event in got if event.request_id == "second"]
        assert seconds == truth["second"]
        assert cached(seconds) == len(stem)
        assert run(broken, [third])["third"] == truth["third"]
        for prefix in list(broken.scheduler.prefixes or ()):
            if prefix.length != len(stem):
                broken.scheduler.prefixes.drop(prefix)
