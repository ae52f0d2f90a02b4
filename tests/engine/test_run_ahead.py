"""One step ahead: each step is launched before the last one is read, and nobody can tell from what is written."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from engine.checkpoint.hub import EMBEDDED
from engine.config import FaultPlan
from engine.engine import Engine
from engine.plan import COMING
from engine.request import FinishReason, Request, SamplingParams, TokenEvent
from engine.runner.runner import Launched, Task
from tests.engine.test_equality import assert_same, checkpoint, requests
from tests.engines import assert_nothing_held, build_engine, run, shrink, tokens

GREEDY = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)


def ahead(**overrides: Any) -> Engine:
    return build_engine(checkpoint(), run_ahead=True, **overrides)


class Journal:
    """What an engine launches and reads, in order: ("launch", 1), ("launch", 2), ("read", 1) …"""

    def __init__(self, engine: Engine) -> None:
        self.entries: list[tuple[str, int]] = []
        self.fed = 0
        """Chunks launched with a token to come."""
        self._launch, self._numbers = engine.runner.launch, itertools.count(1)
        engine.runner.launch = self.launch  # type: ignore[method-assign]

    def launch(self, tasks: list[Task]) -> Launched:
        number = next(self._numbers)
        self.entries.append(("launch", number))
        self.fed += sum(task.chunk.coming for task in tasks)
        return Noted(self._launch(tasks), number, self)


class Noted(Launched):
    def __init__(self, launched: Launched, number: int, journal: Journal) -> None:
        super().__init__(launched.tasks, launched.rows, launched.chosen, launched.scored)
        object.__setattr__(self, "note", lambda: journal.entries.append(("read", number)))

    def read(self) -> Any:
        self.note()  # type: ignore[attr-defined]
        return super().read()


def leading(launches: int) -> list[tuple[str, int]]:
    """Each step is launched before the one before it is read."""
    pairs = [[("launch", number), ("read", number - 1)] for number in range(1, launches + 1)]
    return [entry for pair in pairs for entry in pair if entry[1]] + [("read", launches)]


def waiting(launches: int) -> list[tuple[str, int]]:
    return [(what, number) for number in range(1, launches + 1) for what in ("launch", "read")]


def steps(engine: Engine, count: int) -> list[list[int]]:
    return [tokens(engine.step()) for _ in range(count)]


@pytest.mark.parametrize("budget", [16, 23, 2048])
def test_ahead_is_in_step(budget: int) -> None:
    engine = ahead(max_num_seqs=16, max_num_batched_tokens=budget)
    journal = Journal(engine)
    assert_same(run(engine, requests()))
    assert journal.fed > 100


@pytest.mark.parametrize("pages", [24, 31])
def test_preempted_ahead_is_undisturbed(pages: int) -> None:
    engine = ahead(max_num_seqs=16, max_num_batched_tokens=40, page_size=4, max_model_len=96)
    shrink(engine, pages)
    assert_same(run(engine, requests()))
    assert engine.scheduler.preemptions >= 5


def test_requests_that_come_and_go_ahead_disturb_nobody() -> None:
    """Each ghost's id is used anew, also while the step that carried the last one is on its way."""
    engine = ahead(max_num_seqs=4, max_num_batched_tokens=20)
    events: dict[str, list[TokenEvent]] = {}
    queue = requests()
    for number in range(400):
        if queue and number % 3 == 0:
            request = queue.pop(0)
            events[request.id] = []
            engine.add(request)
        if number % 4 == 0:
            engine.abort("ghost")
            engine.add(Request(id="ghost", prompt_token_ids=(7,) * (1 + number % 9), sampling=GREEDY))
        for event in engine.step():
            if event.request_id != "ghost":
                events[event.request_id].append(event)
    engine.abort("ghost")
    assert engine.idle
    assert_nothing_held(engine)
    assert_same(events)


def test_each_step_is_launched_before_the_last_one_is_read() -> None:
    """A prompt of one chunk and an answer of eight tokens take eight steps; the ninth finds nothing to launch."""
    engine = ahead()
    journal = Journal(engine)
    run(engine, [Request(id="a", prompt_token_ids=(5, 6), sampling=GREEDY)])
    assert journal.entries == leading(8)
    assert journal.fed == 7


def test_a_gpu_runs_ahead_and_the_cpu_does_not() -> None:
    engine = build_engine(checkpoint())
    journal = Journal(engine)
    run(engine, [Request(id="a", prompt_token_ids=(5, 6), sampling=GREEDY)])
    assert journal.entries == waiting(8)
    assert journal.fed == 0


def test_a_grammar_needs_its_last_token_on_the_host_and_is_waited_for() -> None:
    engine = build_engine(EMBEDDED, run_ahead=True)
    journal = Journal(engine)
    asked = Request(id="a", prompt_token_ids=(5, 6), sampling=replace(GREEDY, grammar='start: "one two three four"'))
    run(engine, [asked])
    assert journal.fed == 0
    assert len(journal.entries) > 4
    assert journal.entries == waiting(len(journal.entries) // 2)


def test_a_stop_token_is_found_one_step_late_and_its_extra_token_dropped() -> None:
    (alone,) = run(build_engine(checkpoint()), [Request(id="a", prompt_token_ids=(5,), sampling=GREEDY)]).values()
    written = tokens(alone)
    stop = next(token for token in written[2:] if written.index(token) >= 2)
    place = written.index(stop)
    engine = ahead()
    journal = Journal(engine)
    sampling = replace(GREEDY, stop_token_ids=(stop,))
    events = run(engine, [Request(id="a", prompt_token_ids=(5,), sampling=sampling)])["a"]
    assert tokens(events) == written[: place + 1]
    assert (events[-1].finish_reason, events[-1].stop_token_id) == (FinishReason.STOP, stop)
    assert journal.entries == leading(place + 2)[:-1], "the step of the extra token is launched, and nobody reads it"
    assert bool(engine.runner.pages.keys.isnan().all()), "what the extra token wrote is overwritten"
    events = run(engine, [Request(id="a", prompt_token_ids=(5,), sampling=GREEDY)])["a"]
    assert tokens(events) == written


def test_a_step_that_nobody_waits_for_is_settled_with_the_next() -> None:
    engine = ahead()
    engine.add(Request(id="a", prompt_token_ids=(5,), sampling=GREEDY))
    assert steps(engine, 2) == [[], tokens(undisturbed_greedy()[:1])]
    assert engine.abort("a") is not None
    assert engine.idle
    engine.add(Request(id="a", prompt_token_ids=(5,), sampling=GREEDY))
    assert steps(engine, 2) == [[], tokens(undisturbed_greedy()[:1])]
    engine.abort("a")
    assert engine.idle
    assert engine.step() == []


def undisturbed_greedy() -> list[TokenEvent]:
    return run(build_engine(checkpoint()), [Request(id="a", prompt_token_ids=(5,), sampling=GREEDY)])["a"]


def test_min_tokens_holds_stop_tokens_back_ahead() -> None:
    every = tuple(range(3, 100))
    sampling = SamplingParams(temperature=0, max_tokens=20, min_tokens=9, stop_token_ids=every)
    asked = [Request(id="a", prompt_token_ids=(5,), sampling=sampling)]
    assert run(ahead(), asked) == run(build_engine(checkpoint()), asked)


def test_a_prompt_preempted_while_its_first_token_is_to_come() -> None:
    """Its pages go to the first request's answer in the plan that would have run the token."""
    first = Request(id="first", prompt_token_ids=(5,) * 7, sampling=replace(GREEDY, max_tokens=30))
    second = Request(
        id="second", prompt_token_ids=tuple(range(10, 22)), sampling=replace(GREEDY, prompt_logprobs=1, logprobs=0)
    )
    alone = run(build_engine(checkpoint()), [second])["second"]
    engine = ahead(max_num_seqs=2, page_size=4, max_model_len=96)
    shrink(engine, 9)
    engine.add(first)
    events: list[TokenEvent] = []
    to_come_when_preempted = False
    while not engine.idle:
        if second.id not in engine.scheduler and not events and engine.scheduler["first"].generated == 10:
            engine.add(second)
        before = engine.scheduler["second"].coming if "second" in engine.scheduler else 0
        events += [event for event in engine.step() if event.request_id == "second"]
        to_come_when_preempted |= bool(before and engine.scheduler.preemptions)
    assert to_come_when_preempted
    assert tokens(events) == tokens(alone)
    assert events[0].prompt_logprobs is not None
    assert [e and e.token_id for e in events[0].prompt_logprobs] == [None, *range(11, 22)]
    assert all(event.prompt_logprobs is None for event in events[1:])


@pytest.mark.parametrize("fault", ["raises", "exhausts"])
def test_a_launch_that_fails_waits_for_the_step_before_it(fault: str) -> None:
    """The bad request writes the token that fails, so the step that fails carries it as one to come."""
    engine = ahead(faults=FaultPlan(**{fault: 90}))
    journal = Journal(engine)
    good = Request(id="good", prompt_token_ids=(5,), sampling=replace(GREEDY, logit_bias={90: -100.0}))
    bad = Request(id="bad", prompt_token_ids=(6,), sampling=replace(GREEDY, logit_bias={90: 100.0}))
    alone = tokens(run(build_engine(checkpoint()), [good])["good"])
    got = run(engine, [good, bad])
    assert tokens(got["good"]) == alone
    assert tokens(got["bad"]) == [90]
    assert got["bad"][-1].finish_reason is FinishReason.ERROR
    assert journal.entries[:6] == [
        ("launch", 1),
        ("launch", 2),
        ("read", 1),
        ("launch", 3),
        ("read", 3),
        ("launch", 4),
    ]


def test_a_launch_that_fails_for_who_has_just_ended_fails_nobody() -> None:
    """The last step but one ends the bad request by its stop token; the one that fails carries it for nothing."""
    engine = ahead(faults=FaultPlan(raises=90))
    good = Request(id="good", prompt_token_ids=(5,), sampling=replace(GREEDY, logit_bias={90: -100.0}))
    biased = replace(GREEDY, logit_bias={90: 100.0}, stop_token_ids=(90,))
    alone = tokens(run(build_engine(checkpoint()), [good])["good"])
    got = run(engine, [good, Request(id="bad", prompt_token_ids=(6,), sampling=biased)])
    assert tokens(got["good"]) == alone
    assert (tokens(got["bad"]), got["bad"][-1].finish_reason) == ([90], FinishReason.STOP)


def test_numbers_that_are_not_finite_run_once_more_and_hurt_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ahead(max_num_seqs=16)
    bad = Request(id="bad", prompt_token_ids=(99,) * 9, sampling=GREEDY)
    embedding = engine.runner.model.embedding.clone()
    embedding[99] = torch.nan
    monkeypatch.setattr(engine.runner.model, "embedding", embedding)
    journal = Journal(engine)
    got = run(engine, [*requests()[:2], bad, *requests()[2:4]])
    (ended,) = got.pop("bad")
    assert ended.finish_reason is FinishReason.ERROR
    assert "not finite" in (ended.error or "")
    assert journal.entries[:3] == leading(2)[:3]
    assert_same(got)


def test_a_result_that_cannot_be_read_ends_its_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ahead()
    launch, launches = engine.runner.launch, itertools.count()

    def unreadable(self: Launched) -> None:
        raise RuntimeError("unreadable")

    def launching(tasks: list[Task]) -> Launched:
        launched = launch(tasks)
        if next(launches) == 1:
            monkeypatch.setattr(Launched, "read", unreadable)
        return launched

    read = Launched.read
    monkeypatch.setattr(engine.runner, "launch", launching)
    engine.add(Request(id="a", prompt_token_ids=(5,), sampling=GREEDY))
    assert engine.step() == []
    (failed,) = engine.step()
    assert failed.finish_reason is FinishReason.ERROR
    monkeypatch.setattr(Launched, "read", read)
    assert engine.step() == []
    assert engine.idle
    assert_nothing_held(engine)
    assert run(engine, [Request(id="b", prompt_token_ids=(5,), sampling=GREEDY)])["b"][-1].error is None


def test_a_token_to_come_is_planned_as_such() -> None:
    engine = ahead()
    engine.add(Request(id="a", prompt_token_ids=(5, 6), sampling=GREEDY))
    engine.step()
    sequence = engine.scheduler["a"]
    assert sequence.tokens == [5, 6, COMING]
    assert (sequence.generated, sequence.written, sequence.computed, sequence.remaining) == (1, 0, 2, 1)
    engine.step()
    assert sequence.tokens[2] != COMING
    assert sequence.tokens[3] == COMING
