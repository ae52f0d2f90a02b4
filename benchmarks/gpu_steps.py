"""An engine that is driven by hand, so that its steps can be timed. The engine recovers from failures, but here a step
counts only if it does what it is timed for at the first attempt."""

import statistics
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import Any

from benchmarks.shapes import spread_tokens
from benchmarks.stopwatch import Stopwatch
from engine.engine import Engine
from engine.plan import pages_for
from engine.request import Request, SamplingParams, TokenEvent
from engine.runner.runner import Launched

MOST_STEPS = 1000
"""Limit of the steps to a prompt's first token: beyond it, the token never comes."""


class StepFailedError(RuntimeError):
    """A step did not do what it was timed for."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a step, and the share of all steps in which the host does not wait for the device."""

    median: float
    mean: float
    host_share: float


class Driver:
    """An engine whose caches hold random numbers, and requests that decode as if their prompts had been read.
    `vocab_size` is the model's."""

    def __init__(self, engine: Engine, vocab_size: int) -> None:
        self.engine, self.scheduler = engine, engine.scheduler
        self._vocab_size = vocab_size
        self._ids = count()
        self._failure: Exception | None = None
        self.failed_at = ""
        """The end of the first failure's traceback, if there was one."""
        for cache in (engine.runner.rings, engine.runner.pages):
            cache.keys.normal_()
            cache.values.normal_()
        self._try = engine._try
        engine._try = self._trying  # type: ignore[method-assign]

    def _trying(self, work: Callable[[], Any], sequences: int) -> Any:
        """The engine's `_try`, which runs a failed step's requests again one by one. This one remembers the failure."""

        def remembering() -> Any:
            try:
                return work()
            except Exception:
                self.failed_at = self.failed_at or traceback.format_exc(limit=-4)
                raise

        outcome = self._try(remembering, sequences)
        if isinstance(outcome, Exception):
            self._failure = outcome
        return outcome

    def step(self) -> list[TokenEvent]:
        """A step's events. Raises StepFailedError if a launch or a request failed."""
        events = self.engine.step()
        self.check(events)
        return events

    def check(self, events: Sequence[TokenEvent]) -> None:
        """Raises StepFailedError if a launch or an event's request has failed."""
        if self._failure is not None:
            raise StepFailedError(f"{type(self._failure).__name__}: {self._failure}")
        for event in events:
            if event.error is not None:
                raise StepFailedError(event.error)

    def steps(self, batch: int, number: int) -> StepTimes:
        """Times a number of steps of `batch` seated requests. Raises StepFailedError unless each step produced a token
        for each request."""
        for _ in range(warming_steps(number)):
            self.step()
        waits = Waits(self.engine)
        try:
            self.step()  # This step reads one that was launched before waits were counted.
            times, brought, watch = [], [], Stopwatch()
            for _ in range(number):
                brought.append(self.engine.step())
                times.append(watch.lap())
        finally:
            waits.stop()
        for events in brought:
            self.check(events)
            if (tokens := sum(len(event.token_ids) for event in events)) != batch:
                raise StepFailedError(f"a step of {batch} requests brought {tokens} tokens")
        if len(self.scheduler.running) != batch:
            raise StepFailedError(f"of {batch} requests {len(self.scheduler.running)} are left")
        return StepTimes(statistics.median(times), statistics.mean(times), 1 - waits.seconds / sum(times))

    def first_token(self, tokens: int) -> tuple[float, float]:
        """Seconds from a prompt's arrival to its token, and the longest step until then. Raises StepFailedError."""
        request = self.request(tokens, max_tokens=1)
        began, slowest = perf_counter(), 0.0
        self.engine.add(request)
        for _ in range(MOST_STEPS):
            watch = Stopwatch()
            events = self.engine.step()
            slowest, arrived = max(slowest, watch.lap()), perf_counter()
            self.check(events)
            if any(event.request_id == request.id and event.token_ids for event in events):
                return arrived - began, slowest
        raise StepFailedError(f"a prompt of {tokens} tokens had no answer after {MOST_STEPS} steps")

    def follow(self, prompt: int, answer: int) -> int:
        """Runs a step and adds a request for each that ends. Returns how many tokens came. Raises StepFailedError."""
        events = self.step()
        for event in events:
            if event.finish_reason is not None:
                self.engine.add(self.request(prompt, max_tokens=answer))
        return sum(len(event.token_ids) for event in events)

    def seat(self, requests: int, context: int, max_tokens: int | None = None) -> None:
        """Lets requests decode as if their prompts had been read: they hold cache places with random content."""
        for _ in range(requests):
            self.engine.add(self.request(context, max_tokens))
            sequence = self.scheduler._admit()
            assert sequence is not None
            assert self.scheduler._make_room(sequence, context, [])
            sequence.computed = context - 1

    def request(self, tokens: int, max_tokens: int | None = None) -> Request:
        number = next(self._ids)
        sampling = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
        prompt = spread_tokens(number, tokens, self._vocab_size)
        return Request(id=str(number), prompt_token_ids=prompt, sampling=sampling)

    def clear(self) -> None:
        """Ends every request and waits for the device. Raises the device's error if it can compute nothing more."""
        for sequence in [*self.scheduler.running, *self.scheduler.waiting]:
            self.engine.abort(sequence.request.id)
        self.engine.step()
        self.engine.runner.check()
        self._failure, self.failed_at = None, ""

    def most(self, tokens: int) -> int:
        """How many requests of `tokens` tokens fit in the pages."""
        return self.scheduler.pool.total // pages_for(tokens, self.scheduler.page_size)


def warming_steps(number: int) -> int:
    """How many steps run before `number` timed ones: many for few requests, whose steps are short.

    >>> warming_steps(30), warming_steps(200)
    (6, 40)
    """
    return max(4, number // 5)


class Waits:
    """Counts how long an engine waits for its steps' results."""

    def __init__(self, engine: Engine) -> None:
        self.seconds = 0.0
        self._runner, self._launch = engine.runner, engine.runner.launch
        self._runner.launch = self.launch  # type: ignore[method-assign]

    def launch(self, tasks: Any) -> Launched:
        return Timed(self._launch(tasks), self)

    def stop(self) -> None:
        self._runner.launch = self._launch  # type: ignore[method-assign]


class Timed(Launched):
    """A launched step whose reading is timed."""

    def __init__(self, launched: Launched, waits: Waits) -> None:
        super().__init__(launched.tasks, launched.rows, launched.chosen, launched.scored)
        read: Callable[[], Any] = super().read

        def timed() -> Any:
            began = perf_counter()
            outcomes = read()
            waits.seconds += perf_counter() - began
            return outcomes

        object.__setattr__(self, "read", timed)
