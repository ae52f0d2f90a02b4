"""The same request gives the same tokens alone, in a batch, in chunks, and after being preempted."""

from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path

import pytest
import torch

import engine.answer as answer_module
from engine.config import ModelConfig, RopeConfig
from engine.errors import RequestError
from engine.request import FinishReason, Request, SamplingParams, TokenEvent
from tests.checkpoints import passing_directory, write_checkpoint
from tests.engines import assert_nothing_held, build_engine, run, shrink, tokens

CONFIG = ModelConfig(
    vocab_size=100,
    hidden_size=64,
    intermediate_size=64,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    num_experts=5,
    experts_per_token=2,
    window=8,
    layer_types=("sliding_attention", "full_attention") * 2,
    max_position=1024,
    rope=RopeConfig(theta=150000.0, factor=4.0, original_max_position=64),
    eos_token_ids=(3,),
)

STYLES = (
    SamplingParams(temperature=0),
    SamplingParams(temperature=1.0, seed=1),
    SamplingParams(temperature=0.7, top_p=0.8, seed=2),
    SamplingParams(temperature=1.5, top_k=5, min_p=0.05, seed=3),
    SamplingParams(temperature=1.0, seed=4, presence_penalty=1.0, frequency_penalty=0.5, repetition_penalty=1.2),
    SamplingParams(temperature=1.0, seed=5, logit_bias={7: 3.0, 8: -100.0}, min_tokens=30),
    SamplingParams(temperature=1.0, seed=6, logprobs=3, ignore_eos=True),
    SamplingParams(temperature=0, prompt_logprobs=2, logprobs=0, stop_token_ids=(11, 12)),
)


@cache
def checkpoint() -> Path:
    directory = passing_directory("equality")
    write_checkpoint(directory, CONFIG, seed=5)
    return directory


def requests(count: int = 16) -> list[Request]:
    """Prompts from 1 to 61 tokens, answers of up to 60, every style."""
    generator = torch.Generator().manual_seed(0)
    return [
        Request(
            id=f"r{i}",
            prompt_token_ids=tuple(torch.randint(4, 100, (1 + 4 * i,), generator=generator).tolist()),
            sampling=replace(STYLES[i % len(STYLES)], max_tokens=60 - 2 * i),
        )
        for i in range(count)
    ]


@cache
def undisturbed() -> dict[str, list[TokenEvent]]:
    """Every request on its own, its prompt whole."""
    engine = build_engine(checkpoint(), max_num_seqs=1)
    return {request.id: run(engine, [request])[request.id] for request in requests()}


def assert_same(got: dict[str, list[TokenEvent]]) -> None:
    for request_id, events in got.items():
        truth = undisturbed()[request_id]
        assert tokens(events) == tokens(truth), request_id
        assert events[-1].finish_reason == truth[-1].finish_reason
        assert events[-1].stop_token_id == truth[-1].stop_token_id
        values = [entry.logprob for event in events for entry in event.logprobs]
        expected = [entry.logprob for event in truth for entry in event.logprobs]
        assert values == pytest.approx(expected, abs=1e-4)
        scored = [event.prompt_logprobs for event in events if event.prompt_logprobs is not None]
        expected_scored = [event.prompt_logprobs for event in truth if event.prompt_logprobs is not None]
        assert len(scored) == len(expected_scored)
        for mine, theirs in zip(scored, expected_scored, strict=True):
            assert [e and e.token_id for e in mine] == [e and e.token_id for e in theirs]
            assert [e.logprob for e in mine if e] == pytest.approx([e.logprob for e in theirs if e], abs=1e-4)


def test_the_requests_differ_and_end_in_different_ways() -> None:
    truth = undisturbed()
    assert len({tuple(tokens(events)) for events in truth.values()}) == len(truth)
    assert {events[-1].finish_reason for events in truth.values()} == {FinishReason.STOP, FinishReason.LENGTH}


@pytest.mark.parametrize("budget", [16, 23, 64, 2048])
def test_batched_is_alone(budget: int) -> None:
    engine = build_engine(checkpoint(), max_num_seqs=16, max_num_batched_tokens=budget)
    assert_same(run(engine, requests()))


def test_chunked_is_whole() -> None:
    for budget in (1, 7, 9):
        engine = build_engine(checkpoint(), max_num_seqs=1, max_num_batched_tokens=budget, page_size=3)
        assert_same(run(engine, requests()))


def test_scored_in_blocks_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five tokens, in chunks of twelve: the last block of a chunk is a shorter one."""
    monkeypatch.setattr("engine.runner.runner.SCORED_LIMIT", 5 * CONFIG.vocab_size)
    scored = [request for request in requests() if request.sampling.prompt_logprobs is not None]
    assert_same(run(build_engine(checkpoint(), max_num_seqs=1, max_num_batched_tokens=12), scored))


@pytest.mark.parametrize("pages", [24, 31])
def test_preempted_is_undisturbed(pages: int) -> None:
    engine = build_engine(checkpoint(), max_num_seqs=16, max_num_batched_tokens=40, page_size=4, max_model_len=96)
    shrink(engine, pages)
    assert_same(run(engine, requests()))
    assert engine.scheduler.preemptions >= 5


def test_a_prompt_preempted_while_it_is_scored_is_scored_once() -> None:
    """The first request's answer takes the pages that the second one's prompt would have needed to end."""
    sampling = SamplingParams(temperature=0, max_tokens=30, ignore_eos=True)
    first = Request(id="first", prompt_token_ids=(5,) * 4, sampling=sampling)
    scoring = SamplingParams(temperature=0, max_tokens=5, prompt_logprobs=2)
    second = Request(id="second", prompt_token_ids=tuple(range(10, 50)), sampling=scoring)
    alone = run(build_engine(checkpoint()), [second])["second"]
    engine = build_engine(checkpoint(), max_num_seqs=2, max_num_batched_tokens=5, page_size=4, max_model_len=96)
    shrink(engine, 13)
    engine.add(first)
    engine.step()
    engine.add(second)
    events: list[TokenEvent] = []
    scored_when_preempted = 0
    while not engine.idle:
        before = engine.scheduler["second"].computed if "second" in engine.scheduler else 0
        events += [event for event in engine.step() if event.request_id == "second"]
        if engine.scheduler.preemptions == 1 and not scored_when_preempted:
            scored_when_preempted = before
    assert 0 < scored_when_preempted < 40
    assert tokens(events) == tokens(alone)
    mine, theirs = events[0].prompt_logprobs, alone[0].prompt_logprobs
    assert mine is not None
    assert theirs is not None
    assert [e and e.token_id for e in mine] == [e and e.token_id for e in theirs]
    assert [e.logprob for e in mine if e] == pytest.approx([e.logprob for e in theirs if e], abs=1e-4)


def test_requests_that_come_and_go_disturb_nobody() -> None:
    engine = build_engine(checkpoint(), max_num_seqs=4, max_num_batched_tokens=20)
    events: dict[str, list[TokenEvent]] = {}
    queue = requests()
    for number in range(400):
        if queue and number % 3 == 0:
            request = queue.pop(0)
            events[request.id] = []
            engine.add(request)
            engine.add(replace(request, id=f"ghost-{number}", prompt_token_ids=request.prompt_token_ids[::-1]))
        if number % 3 == 2:
            for ghost in [f"ghost-{n}" for n in range(number - 8, number)]:
                engine.abort(ghost)
        for event in engine.step():
            if not event.request_id.startswith("ghost"):
                events[event.request_id].append(event)
    assert not queue
    assert engine.idle
    assert_nothing_held(engine)
    assert_same(events)


def test_abort_is_possible_at_any_moment_and_twice() -> None:
    engine = build_engine(checkpoint(), max_num_seqs=2, max_num_batched_tokens=8)
    for steps in range(12):
        for request in requests()[5:9]:
            engine.add(request)
        for _ in range(steps):
            engine.step()
        for request in requests()[5:9]:
            event = engine.abort(request.id)
            assert event is None or event.finish_reason is FinishReason.ABORT
            assert engine.abort(request.id) is None
        assert engine.idle
        assert_nothing_held(engine)


def test_how_long_a_request_waited_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a single slot the second request waits for the whole of the first."""
    clock = count()
    monkeypatch.setattr(answer_module, "monotonic", lambda: float(next(clock)) ** 2)
    events = run(build_engine(checkpoint(), max_num_seqs=1), requests(2))
    first, second = ([event.queue_seconds for event in events[name]] for name in ("r0", "r1"))
    assert first[0] is not None
    assert second[0] is not None
    assert second[0] > first[0]
    assert {*first[1:], *second[1:]} == {None}


def test_a_prompt_can_be_scored_without_an_answer() -> None:
    engine = build_engine(checkpoint())
    request = requests()[15]
    scored = replace(request, sampling=SamplingParams(max_tokens=0, prompt_logprobs=0))
    (event,) = run(engine, [scored])[request.id]
    assert event.token_ids == ()
    assert event.finish_reason is FinishReason.LENGTH
    assert event.prompt_logprobs is not None
    assert [e and e.token_id for e in event.prompt_logprobs] == [None, *request.prompt_token_ids[1:]]


def test_min_tokens_holds_stop_tokens_back() -> None:
    engine = build_engine(checkpoint())
    every = tuple(range(3, 100))
    sampling = SamplingParams(temperature=0, max_tokens=20, min_tokens=9, stop_token_ids=every)
    events = run(engine, [Request(id="a", prompt_token_ids=(5,), sampling=sampling)])["a"]
    assert [token < 3 for token in tokens(events)] == [True] * 9 + [False]
    assert events[-1].finish_reason is FinishReason.STOP
    assert events[-1].stop_token_id == tokens(events)[-1]


def test_a_full_context_still_gets_its_token() -> None:
    engine = build_engine(checkpoint(), max_model_len=64)
    events = run(engine, [Request(id="a", prompt_token_ids=(5,) * 64)])["a"]
    assert len(tokens(events)) == 1
    assert events[-1].finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("style", [SamplingParams(temperature=0), SamplingParams(seed=3, logprobs=2)])
def test_numbers_that_are_not_finite_cost_their_own_request_alone(
    style: SamplingParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build_engine(checkpoint(), max_num_seqs=16)
    good = requests(4)
    bad = Request(id="bad", prompt_token_ids=(99,) * 9, sampling=replace(style, max_tokens=20, logit_bias={5: 1.0}))
    embedding = engine.runner.model.embedding.clone()
    embedding[99] = torch.nan
    monkeypatch.setattr(engine.runner.model, "embedding", embedding)
    events = run(engine, [*good[:2], bad, *good[2:]])
    (ended,) = events.pop("bad")
    assert ended.finish_reason is FinishReason.ERROR
    assert "not finite" in (ended.error or "")
    assert_same(events)
    assert tokens(run(engine, [good[3]])["r3"]) == tokens(undisturbed()["r3"])


def test_what_cannot_be_served_is_refused_and_leaves_nothing() -> None:
    engine = build_engine(checkpoint(), max_model_len=64)
    for bad, message in (
        ({"prompt_token_ids": ()}, "prompt is empty"),
        ({"prompt_token_ids": (5,) * 65}, "maximum context length is 64 tokens; the prompt has 65"),
        ({"prompt_token_ids": (5, 100)}, "token id 100 is not in the vocabulary of 100"),
        ({"prompt_token_ids": (-1, 5)}, "token id -1"),
        ({"sampling": SamplingParams(max_tokens=61)}, "max_tokens asks for 61 more"),
        ({"sampling": SamplingParams(stop_token_ids=(100,))}, "stop_token_ids: token id 100"),
        ({"sampling": SamplingParams(logit_bias={100: 1.0})}, "logit_bias: token id 100"),
    ):
        request = replace(Request(id="a", prompt_token_ids=(5,) * 5), **bad)  # type: ignore[arg-type]
        with pytest.raises(RequestError, match=message):
            engine.add(request)
    assert engine.idle
    engine.add(Request(id="a", prompt_token_ids=(5,)))
    with pytest.raises(RequestError, match="in use"):
        engine.add(Request(id="a", prompt_token_ids=(5,)))


def test_rings_do_not_grow_with_the_context() -> None:
    """100,000 tokens through a model of sliding layers alone: the same memory as after the first."""
    directory = passing_directory("sliding")
    write_checkpoint(
        directory,
        replace(CONFIG, layer_types=("sliding_attention",) * 2, max_position=2**17, eos_token_ids=()),
    )
    engine = build_engine(directory, max_num_seqs=1, max_model_len=100_000, max_num_batched_tokens=8192)
    ring_bytes = 2 * 2 * CONFIG.window * CONFIG.num_kv_heads * CONFIG.head_dim * 4
    for length in (1, 1_000, 100_000):
        engine.add(Request(id="a", prompt_token_ids=(7,) * length, sampling=SamplingParams(max_tokens=1)))
        while not engine.idle:
            engine.step()
            assert engine.runner.rings.keys.untyped_storage().nbytes() * 2 == ring_bytes
        assert engine.runner.pages.keys.nbytes == 0
