"""Whatever is submitted, stepped, aborted, stalled, spoiled and drained, in whatever order: the books balance, the
caches hold what they should, and every token is the one that the hash model writes by definition. So it is where each
step is read before the next is planned, and where the next one runs ahead; and where prompts go on from others."""

from collections import Counter
from functools import cache
from pathlib import Path

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.engine import Engine
from engine.memory_sizes import kv_sizes
from engine.plan import COMING
from engine.request import FinishReason, Request, SamplingParams, TokenEvent
from tests.checkpoints import passing_directory
from tests.engines import assert_nothing_held, build_engine
from tests.soak.audit import Leaks, leaks
from tests.soak.hash_model import ending, hash_config, use_hash_model, write_alone, write_hash_config

CONFIG = hash_config()
KV = kv_sizes(CONFIG, element_bytes=4)
SLOTS, PAGES, PAGE_SIZE, BUDGET, LONGEST = 3, 12, 4, 7, 40
MOST_STEPS = 2_000
"""Far more than any queue here needs."""


@cache
def directory() -> Path:
    return write_hash_config(passing_directory("stateful"), CONFIG)


class Player:
    """Plays operations on an engine of its own and keeps what each of them brought."""

    def __init__(self, *, run_ahead: bool, keeps: bool = False) -> None:
        self.engine = build_engine(
            directory(),
            load_format="dummy",
            max_num_seqs=SLOTS,
            max_model_len=LONGEST,
            max_num_batched_tokens=BUDGET,
            page_size=PAGE_SIZE,
            kv_cache_memory_bytes=SLOTS * KV.rings + PAGES * PAGE_SIZE * KV.token,
            seed=7,
            run_ahead=run_ahead,
            enable_prefix_caching=keeps,
        )
        if (prefixes := self.engine.scheduler.prefixes) is not None:
            prefixes.least, prefixes.spacing = 3, 6
        self.model = use_hash_model(self.engine)
        self.trace: list[tuple[tuple, list[TokenEvent]]] = []

    def play(self, *operation: object) -> list[TokenEvent]:
        match operation:
            case "submit", Request() as request:
                self.engine.add(request)
                brought = []
            case "abort", str(request_id):
                brought = [event for event in [self.engine.abort(request_id)] if event is not None]
            case "spoil", int(which):
                self.model.spoiled = which
                brought = []
            case "break", int(layer):
                self.model.broken, self.model.broke = layer, 0
                brought = []
            case ("mend",):
                self.model.broken = None
                brought = []
            case ("step",):
                brought = self.engine.step()
            case _:
                raise AssertionError(operation)
        self.trace.append((operation, brought))
        return brought


styles = st.builds(
    SamplingParams,
    max_tokens=st.integers(1, 20),
    temperature=st.sampled_from([0.0, 1.0]),
    seed=st.sampled_from([1, None]),
    logprobs=st.sampled_from([None, 2]),
    presence_penalty=st.sampled_from([0.0, 0.0, 0.0, 0.5]),
)
prompts = st.lists(st.integers(32, 126), min_size=1, max_size=20).map(tuple)
STEMS = tuple(tuple(range(first, first + 18)) for first in (40, 60))
alike = st.builds(
    lambda stem, length, rest: stem[:length] + tuple(rest),
    st.sampled_from(STEMS),
    st.integers(1, 18),
    st.lists(st.integers(32, 34), max_size=3),
)
"""Prompts that begin as others do, and part from them anywhere."""


class EngineMachine(RuleBasedStateMachine):
    run_ahead, keeps = False, False

    def __init__(self) -> None:
        super().__init__()
        self.player = Player(run_ahead=self.run_ahead, keeps=self.keeps)
        self.events: dict[str, list[TokenEvent]] = {}
        self.requests: dict[str, Request] = {}
        self.overtaken: dict[int, Counter[int]] = {}
        self.harmed = 0

    @property
    def engine(self) -> Engine:
        return self.player.engine

    @property
    def open(self) -> list[str]:
        return [name for name, events in self.events.items() if not (events and events[-1].finish_reason)]

    def play(self, *operation: object) -> list[TokenEvent]:
        """Nothing comes of a request that has ended, or that nobody submitted; none fails that nobody has harmed."""
        brought = self.player.play(*operation)
        for event in brought:
            assert event.request_id in self.open
            self.events[event.request_id].append(event)
            self.harmed -= event.finish_reason is FinishReason.ERROR
            assert self.harmed >= 0, event.error
        return brought

    @rule(prompt=prompts | alike, sampling=styles, priority=st.sampled_from([0, 0, 0, 1]), client=st.integers(0, 2))
    def submit(self, prompt: tuple[int, ...], sampling: SamplingParams, priority: int, client: int) -> None:
        name = f"r{len(self.requests)}"
        self.requests[name] = Request(
            id=name, prompt_token_ids=prompt, sampling=sampling, priority=priority, client=client
        )
        self.events[name] = []
        self.play("submit", self.requests[name])

    @rule()
    def step(self) -> None:
        self.run_step()

    def run_step(self) -> list[TokenEvent]:
        """A client's requests do not overtake each other, and while a client waits no other one begins twice."""
        scheduler = self.engine.scheduler
        queued = list(scheduler.waiting)
        brought = self.play("step")
        waiting = [s for s in queued if s in scheduler.waiting]
        started = [s for s in queued if s not in scheduler.waiting]
        begins = Counter(s.request.client for s in started)
        before, self.overtaken = self.overtaken, {}
        for client in {s.request.client for s in waiting}:
            first = min(s.rank for s in waiting if s.request.client == client)
            assert all(s.rank < first for s in started if s.request.client == client)
            self.overtaken[client] = Counter() if begins[client] else before.get(client, Counter()) + begins
            assert max(self.overtaken[client].values(), default=0) <= 1
        return brought

    @rule(count=st.integers(2, 12))
    def steps(self, count: int) -> None:
        for _ in range(count):
            self.run_step()

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        """Also of what has ended already: that brings nothing."""
        name = data.draw(st.sampled_from(sorted(self.requests)))
        was_open = name in self.open
        ended = self.play("abort", name)
        assert [event.finish_reason for event in ended] == [FinishReason.ABORT] * was_open

    @rule(data=st.data(), coming=st.integers(1, 4))
    def stall(self, data: st.DataObject, coming: int) -> None:
        """The engine stands still while requests come and go."""
        for _ in range(coming):
            self.submit(data.draw(alike if self.keeps else prompts), data.draw(styles), 0, data.draw(st.integers(0, 2)))
            if data.draw(st.booleans()):
                self.abort(data)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7))
    def fault(self, which: int) -> None:
        """One sequence of a step comes out as NaN: it alone may end for that."""
        self.harmed += 1
        self.play("spoil", which)
        brought = self.run_step()
        assert sum(event.finish_reason is FinishReason.ERROR for event in brought) <= 1

    @precondition(lambda self: self.open)
    @rule(layer=st.integers(0, 3))
    def crash(self, layer: int) -> None:
        """A step raises half way, some layers' rings turned already: it is made good, and nobody notices but a
        sequence that was alone in it. Who runs ahead may have nothing to launch but what comes to its end, or what has
        come to it already."""
        self.harmed += 1
        self.play("break", layer)
        brought = self.run_step()
        assert self.run_ahead or self.player.model.broken is None
        self.play("mend")
        failed = [event for event in brought if event.error is not None and "RuntimeError" in event.error]
        assert len(failed) == (self.player.model.broke == 1) or (self.run_ahead and not failed)

    @rule()
    def drain(self) -> None:
        for _ in range(MOST_STEPS):
            if self.engine.idle:
                break
            self.run_step()
        assert not self.open
        assert_nothing_held(self.engine)

    @invariant()
    def who_no_longer_waits_is_not_overtaken(self) -> None:
        waiting = {s.request.client for s in self.engine.scheduler.waiting}
        self.overtaken = {client: counts for client, counts in self.overtaken.items() if client in waiting}

    @invariant()
    def every_place_has_one_owner(self) -> None:
        scheduler = self.engine.scheduler
        assert leaks(self.engine) == Leaks()
        assert scheduler.pool.free + scheduler.pool.held + scheduler.pool.kept == scheduler.pool.total == PAGES
        assert self.keeps or not scheduler.pool.kept
        assert len(scheduler.free_slots) + len(scheduler.running) == SLOTS
        assert {s.request.id for s in (*scheduler.running, *scheduler.waiting)} == set(self.open)

    @invariant()
    def rings_and_pages_hold_exactly_what_they_should(self) -> None:
        """After t tokens a ring holds positions max(0, t − W) … t − 1, and pages hold 0 … t − 1; the rest is poison,
        but for what is kept."""
        window = CONFIG.window
        rings, pages = torch.full((SLOTS * window, 2), torch.nan), torch.full((PAGES * PAGE_SIZE, 2), torch.nan)
        for s in self.engine.scheduler.running:
            for p, token in enumerate(s.tokens[: s.computed]):
                pair = torch.tensor([p, token]).float()
                pages[s.pages[p // PAGE_SIZE] * PAGE_SIZE + p % PAGE_SIZE] = pair
                rings[s.slot * window + p % window] = pair
        for expected, held in ((rings, self.engine.runner.rings), (pages, self.engine.runner.pages)):
            pairs = torch.stack((held.keys[:, :, 0, 0], held.values[:, :, 0, 0]), dim=-1)
            if self.keeps:
                unknown = expected.isnan()
                if held is self.engine.runner.pages and not self.engine.scheduler._released:
                    free = torch.zeros(PAGES, dtype=torch.bool)
                    free[self.engine.scheduler.pool._free] = True
                    unknown &= ~free.repeat_interleave(PAGE_SIZE)[:, None]
                expected = torch.where(unknown, pairs, expected)
            assert pairs.nan_to_num(-1).equal(expected.nan_to_num(-1).expand_as(pairs))

    @invariant()
    def tokens_are_those_of_the_definition(self) -> None:
        for name, events in self.events.items():
            tokens = [token for event in events for token in event.token_ids]
            if name in self.engine.scheduler:
                known = [*self.requests[name].prompt_token_ids, *tokens]
                sequence = self.engine.scheduler[name]
                assert sequence.tokens == known + [COMING] * sequence.coming
                assert sequence.coming <= self.run_ahead

    def teardown(self) -> None:
        """What was written to its end is right, and the same operations bring the same again."""
        self.drain()
        for name, events in self.events.items():
            request = self.requests[name]
            if events[-1].finish_reason in (FinishReason.ABORT, FinishReason.ERROR):
                continue
            if request.sampling.temperature and request.sampling.seed is None:
                continue  # The engine gave it a seed that only the engine knows.
            written = write_alone(CONFIG, request.prompt_token_ids, request.sampling)
            assert [event.token_ids for event in events] == [(one.token_id,) for one in written]
            logprobs = [entry for event in events for entry in event.logprobs]
            assert logprobs == [one.logprob for one in written if one.logprob is not None]
            assert events[-1].finish_reason is ending(CONFIG, request.sampling, written)
        again = Player(run_ahead=self.run_ahead, keeps=self.keeps)
        for operation, brought in self.player.trace:
            assert again.play(*operation) == brought


class AheadMachine(EngineMachine):
    run_ahead = True


class KeepingMachine(EngineMachine):
    keeps = True


class AheadKeepingMachine(EngineMachine):
    run_ahead, keeps = True, True


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestAhead = AheadMachine.TestCase
TestAhead.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestKeeping = KeepingMachine.TestCase
TestKeeping.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestAheadKeeping = AheadKeepingMachine.TestCase
TestAheadKeeping.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def test_a_penalised_token_that_was_to_come_when_a_launch_failed() -> None:
    """The launch of r1's second token fails while its first is still to come; when it runs again, that one is known. It
    fails together with r0, whose numbers are spoiled: who fails alone ends."""
    player = Player(run_ahead=True)
    styles = SamplingParams(max_tokens=2, temperature=1.0, seed=1, presence_penalty=0.5)
    for name in ("r0", "r1"):
        player.play("submit", Request(id=name, prompt_token_ids=(32,), sampling=styles))
    player.play("spoil", 0)
    player.play("step")
    player.play("break", 0)
    events = player.play("step")
    player.play("mend")
    while not player.engine.idle:
        events += player.play("step")
    written = [event.token_ids for event in events if event.request_id == "r1"]
    assert written == [(one.token_id,) for one in write_alone(CONFIG, (32,), styles)]
