"""A step that fails, inside the engine: who failed ends, who did not writes on, and nothing bad stays in the caches."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from engine.config import FaultPlan
from engine.engine import Engine
from engine.plan import Chunk
from engine.request import FinishReason, Request, SamplingParams, TokenEvent
from engine.runner.runner import Task
from engine.sampling.rows import SamplingRow
from tests.checkpoints import small_config, write_checkpoint
from tests.engines import assert_nothing_held, build_engine, run, tokens

RAISES, EXHAUSTS, SPOILS = 150, 151, 152
FAULTS = FaultPlan(raises=RAISES, exhausts=EXHAUSTS, spoils=SPOILS)
LENGTH = 12


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), small_config())


def request(name: str, prompt: list[int], **params: object) -> Request:
    never = dict.fromkeys((RAISES, EXHAUSTS, SPOILS), -100.0)
    sampling = {
        "max_tokens": LENGTH,
        "temperature": 0.0,
        "ignore_eos": True,
        "logit_bias": never,
        "logprobs": 0,
    } | params
    return Request(id=name, prompt_token_ids=tuple(prompt), sampling=SamplingParams(**sampling))  # type: ignore[arg-type]


GOOD = [
    request("short", [1, 2, 3]),
    request("long", [*range(1, 90)]),
    request("scored", [*range(40, 80)], prompt_logprobs=0),
]


def ending(events: list[TokenEvent]) -> tuple[FinishReason | None, str]:
    return events[-1].finish_reason, events[-1].error or ""


def logprobs(events: list[TokenEvent]) -> list[float]:
    return [entry.logprob for event in events for entry in event.logprobs]


def test_a_sampler_that_cannot_be_made_leaves_no_other_in_its_place(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before is of other rows."""
    runner = build_engine(directory).runner
    tasks = [Task(Chunk("", (1,), 0, 0, (0,), True), SamplingRow(SamplingParams(seed=seed))) for seed in range(2)]
    before = runner._sampler_of(tasks)
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr("engine.runner.runner.Sampler", raise_memory_error)
        runner._sampler_of(tasks[1:])
    assert runner._sampler_of(tasks[1:]) is not before


def raise_memory_error(*arguments: object) -> NoReturn:
    raise MemoryError


@pytest.mark.parametrize("fault", [RAISES, EXHAUSTS, SPOILS])
@pytest.mark.parametrize("before", [0, 60, None], ids=["begins", "ends", "writes"])
@pytest.mark.parametrize("budget", [256, 24])
def test_who_shares_the_step_writes_what_it_writes_alone(
    directory: Path, fault: int, before: int | None, budget: int
) -> None:
    """Also prompts under way, whose rings the failed step has turned: what is wrong comes `before` tokens into the
    prompt, or is the first token of the answer, which runs when the long prompt has been begun."""
    engine = build_engine(directory, max_num_batched_tokens=budget, faults=FAULTS)
    alone = {good.id: run(engine, [good])[good.id] for good in GOOD}
    bad = request("bad", [9], logit_bias={fault: 100.0})
    if before is not None:
        bad = request("bad", [*range(10, 10 + before), fault, 7])
    together = run(engine, [bad, *GOOD])
    reason, error = ending(together["bad"])
    assert reason is FinishReason.ERROR
    assert ("not finite" if fault == SPOILS else "RuntimeError") in error
    for good in GOOD:
        assert tokens(together[good.id]) == tokens(alone[good.id])
        assert len(tokens(alone[good.id])) == LENGTH
        assert logprobs(together[good.id]) == pytest.approx(logprobs(alone[good.id]), abs=1e-4)
        assert ending(together[good.id]) == (FinishReason.LENGTH, "")
    scores = [[entry and entry.token_id for entry in one["scored"][0].prompt_logprobs] for one in (alone, together)]
    assert scores[0] == scores[1] == [None, *GOOD[2].prompt_token_ids[1:]]


def test_each_run_of_a_step_that_is_made_again_is_told_of(directory: Path) -> None:
    """Whoever watches sees no hang: a chunk alone is all that was computed before it, too."""
    engine, told = build_engine(directory, max_num_batched_tokens=24, faults=FAULTS), list[int]()
    engine.on_run = told.append
    run(engine, [request("long", [*range(1, 70)]), request("bad", [10, 11, RAISES, 7])])
    assert told == [24, 24, 21, 3]
    run(engine, [request("good", [*range(1, 70)])])
    assert len(told) == 4


def test_a_scored_prompt_that_is_no_numbers_is_an_error(directory: Path) -> None:
    engine = build_engine(directory, faults=FAULTS)
    scored = request("scored", [1, SPOILS, 2, 3], max_tokens=0, prompt_logprobs=1)
    assert ending(run(engine, [scored])["scored"])[0] is FinishReason.ERROR


@pytest.mark.parametrize("fault", [SPOILS, RAISES])
def test_what_it_leaves_in_the_caches_is_overwritten(directory: Path, fault: int) -> None:
    engine = build_engine(directory, faults=FAULTS, poison_freed=False)
    caches = (engine.runner.rings, engine.runner.pages)
    for cache in caches:
        cache.keys.zero_()
        cache.values.zero_()
    assert ending(run(engine, [request("bad", [*range(30), fault, 7])])["bad"])[0] is FinishReason.ERROR
    assert not any(place.any() for cache in caches for place in (cache.keys, cache.values))
    run(engine, [GOOD[0]])
    assert all(cache.keys.any() for cache in caches), "what ends well is left where it is"


def test_a_device_that_is_lost_ends_the_engine(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be run again there; the process ends, and is replaced."""
    engine = build_engine(directory, faults=FAULTS)

    def lost() -> NoReturn:
        raise RuntimeError("the device is lost")

    monkeypatch.setattr(engine.runner, "check", lost)
    engine.add(request("bad", [RAISES]))
    with pytest.raises(RuntimeError, match="lost"):
        engine.step()


def test_without_a_plan_the_tokens_are_like_any_other(directory: Path) -> None:
    engine = build_engine(directory)
    events = run(engine, [request("plain", [RAISES, EXHAUSTS, SPOILS])])["plain"]
    assert ending(events) == (FinishReason.LENGTH, "")


def test_the_caches_are_free_after_every_failure(directory: Path) -> None:
    engine: Engine = build_engine(directory, faults=FAULTS, max_num_seqs=2, max_num_batched_tokens=8)
    bad = [request(f"bad-{i}", [1, 2, fault, 3] * 3) for i, fault in enumerate((RAISES, EXHAUSTS, SPOILS) * 2)]
    ends = run(engine, [replace(one, priority=i % 2) for i, one in enumerate(bad)])
    assert {ending(events)[0] for events in ends.values()} == {FinishReason.ERROR}
    assert_nothing_held(engine)
