"""The engine: add requests, abort them, step. A step has three parts: plan, launch, settle.

On a GPU the engine runs one step ahead: a step is planned and launched before the last one's tokens are read, so that
the device never waits for the host. A token that the host does not know yet is planned as `plan.COMING`, and the runner
fills it in on the device.

    step      1           2             3             4
    launch    A, B        A, B          A, B          A
    settle    -           A, B of 1     A, B of 2     A of 3         B's token of 2 ended it

An end by length is known in advance. An end by a stop token is known one step late: the step in flight still carries
the request, and its result is dropped. The request's cache places are freed at once: whatever takes them is launched
later, and the device keeps the order. The same holds for requests that are aborted, preempted or fail.

A grammar needs the last token on the host: a step that samples for one is settled before the next is planned.
"""

import logging
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from msgspec import structs

from engine.admission import admit
from engine.answer import Answer
from engine.errors import CarouselError, RequestError
from engine.grammar import GrammarCompiler
from engine.plan import LONG_RUN, Chunk, work
from engine.request import SEED_BITS, FinishReason, Request, TokenEvent
from engine.runner.runner import Launched, Runner, Task
from engine.sampling.sampler import Sampled
from engine.scheduler.scheduler import Scheduler

T = TypeVar("T")

logger = logging.getLogger("carousel.engine")


@dataclass(frozen=True, slots=True)
class Flight:
    """A step in flight: its tasks, their answers, what was launched or why the launch failed, and the plan's number."""

    tasks: Sequence[Task]
    answers: Sequence[Answer]
    launched: Launched | Exception
    plan: int

    @property
    def leads(self) -> bool:
        """Whether the next step can be planned before this one is settled."""
        if isinstance(self.launched, Exception):
            return False
        return self.launched.chosen is None or not self.launched.chosen.governed


class Engine:
    """Token ids in, token events out; synchronous, one thread.

    `engine.start.start_engine` builds one from an EngineConfig.
    """

    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        *,
        max_model_len: int,
        grammars: GrammarCompiler,
        seed: int = 0,
        runs_ahead: bool = False,
        poison_freed: bool = False,
    ) -> None:
        self.runner = runner
        self.scheduler = scheduler
        self.max_model_len = max_model_len
        self.runs_ahead = runs_ahead
        self.poison_freed = poison_freed
        self.step_tokens = 0
        """Tokens in the last step, of prompts and answers."""
        self.on_run: Callable[[int], None] = lambda tokens: None
        """Called with the `work` of a long step before it is launched, and before each retried run, so that the
        watchdog allows for it."""
        self.grammars = grammars
        self._flight: Flight | None = None
        self._answers: dict[str, Answer] = {}
        self._seeds = random.Random(seed)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.scheduler.idle

    def add(self, request: Request) -> None:
        """Queues a request. Raises RequestError for one that cannot be served, or an id that is in use."""
        if request.id in self.scheduler:
            raise RequestError(f"request id {request.id} is in use", param="id")
        (request,) = admit([request], self.runner.model.config.vocab_size, self.max_model_len)
        if request.sampling.seed is None:
            sampling = replace(request.sampling, seed=self._seeds.getrandbits(SEED_BITS))
            request = replace(request, sampling=sampling)
        grammar = request.sampling.grammar
        state = None if grammar is None else self.grammars.compile(grammar)
        self.scheduler.add(request)
        sequence = self.scheduler[request.id]
        self._answers[request.id] = Answer(sequence, self.runner.model.config.eos_token_ids, state)

    def abort(self, request_id: str) -> TokenEvent | None:
        """Ends a request wherever it stands. None if it has ended already."""
        answer = self._answers.get(request_id)
        if answer is None:
            return None
        self._forget(answer)
        return TokenEvent(request_id=request_id, finish_reason=FinishReason.ABORT)

    def step(self) -> list[TokenEvent]:
        """Plans and launches the next step, and settles the one before it, and the new one too if it cannot stay in
        flight. Empty if that brings no events.

        A failure ends the requests that it concerns, each with an event. Raises only if the device can no longer
        compute.
        """
        launched = self._launch()
        events = self._settle()
        self._flight = launched
        if launched is not None and not (self.runs_ahead and launched.leads):
            events += self._settle()
        return events

    def _launch(self) -> Flight | None:
        chunks = self.scheduler.plan()
        self.step_tokens = sum([len(chunk.token_ids) for chunk in chunks])
        self._clear()
        if not chunks:
            return None
        if self.step_tokens > len(chunks) and (tokens := work(chunks)) > LONG_RUN:
            self.on_run(tokens)
        answers = [self._answers[chunk.request_id] for chunk in chunks]
        tasks = [make_task(chunk, answer) for chunk, answer in zip(chunks, answers, strict=True)]
        launched = self._try(partial(self.runner.launch, tasks), len(tasks))
        for chunk, answer in zip(chunks, answers, strict=True):
            answer.sequence.launch(chunk)
            if answer.waits_since is not None:
                answer.begin()
        return Flight(tasks, answers, launched, self.scheduler.plans)

    def _settle(self) -> list[TokenEvent]:
        """Waits for the step in flight → its events."""
        flight, self._flight = self._flight, None
        if flight is None:
            return []
        events = []
        for task, answer, outcome in zip(flight.tasks, flight.answers, self._outcomes(flight), strict=True):
            if not answer.ended and (event := self._take(task, answer, outcome, flight.plan)) is not None:
                events.append(event)
        return events

    def _outcomes(self, flight: Flight) -> Sequence[Sampled | Exception]:
        """Each task's result. If the launch failed, its tasks run one by one, and only those that fail alone fail."""
        count = len(flight.tasks)
        if isinstance(flight.launched, Launched):
            outcomes = self._try(flight.launched.read, count)
            return [outcomes] * count if isinstance(outcomes, Exception) else outcomes
        if count == 1:
            return [flight.launched]
        alone = zip(flight.tasks, flight.answers, strict=True)
        return [flight.launched if answer.ended else self._run_alone(task, answer) for task, answer in alone]

    def _run_alone(self, task: Task, answer: Answer) -> Sampled | Exception:
        """Runs one task of a step that failed half way. If its rings may have lost positions, everything before the
        task runs again first, from the position at which the sequence was restored."""
        chunk, most = task.chunk, self.scheduler.max_batched_tokens
        begin = chunk.start if chunk.repeatable else answer.sequence.origin
        starts = [*range(begin, chunk.start, most), chunk.start]
        for start, stop in zip(starts, [*starts[1:], chunk.stop], strict=True):
            part = structs.replace(chunk, token_ids=tuple(answer.sequence.tokens[start:stop]), start=start)
            runs = structs.replace(task, chunk=part)
            if start < chunk.start:
                restore = answer.sequence.restore if start == begin else None
                runs = Task(structs.replace(part, samples=False, restore=restore, save=()))
            self.on_run(work([runs.chunk]))
            outcome = self._try(partial(self._run, runs), 1)
            if isinstance(outcome, Exception):
                break
        return outcome

    def _run(self, task: Task) -> Sampled | Exception:
        (outcome,) = self.runner.launch([task]).read()
        return outcome

    def _try(self, work: Callable[[], T], sequences: int) -> T | Exception:
        """The result of `work`, or the exception it raised. Raises only if the device can no longer compute."""
        try:
            return work()
        except Exception as error:
            logger.error("a step of %d sequences failed", sequences, exc_info=error)
            failure = error.with_traceback(None)  # The traceback's frames hold the step's tensors.
        self.runner.check()
        return failure

    def _take(self, task: Task, answer: Answer, outcome: Sampled | Exception, plan: int) -> TokenEvent | None:
        """Records the result of a chunk of a plan → an event, if the request has one to send."""
        if isinstance(outcome, Exception):
            unknown = f"the engine failed to run this request ({type(outcome).__name__})"
            return self._fail(answer, str(outcome) if isinstance(outcome, CarouselError) else unknown)
        if task.targets:
            answer.score(outcome.target_logprobs)
        if outcome.token_id is None and not answer.is_read(task.chunk):
            return None
        if outcome.token_id is not None and (answer.sequence.saved or answer.sequence.borrowed):
            self.scheduler.begun(answer.request_id, plan)
        event = answer.take(outcome)
        if event.finish_reason is not None:
            self._forget(answer)
        return event

    def _fail(self, answer: Answer, error: str) -> TokenEvent:
        """Ends a failed request. Its cache places are overwritten, because they may hold NaN."""
        self._forget(answer, overwrite=True)
        return TokenEvent(request_id=answer.request_id, finish_reason=FinishReason.ERROR, error=error)

    def _forget(self, answer: Answer, *, overwrite: bool = False) -> None:
        answer.ended = True
        del self._answers[answer.request_id]
        self.scheduler.remove(answer.request_id, distrusted=overwrite)
        self._clear(overwrite=overwrite)

    def _clear(self, *, overwrite: bool = False) -> None:
        """Overwrites freed places, if asked to, with zeros; in tests always, with NaN."""
        released = self.scheduler.take_released()
        if self.poison_freed or overwrite:
            for places in released:
                self.runner.fill(places, math.nan if self.poison_freed else 0.0)


def make_task(chunk: Chunk, answer: Answer) -> Task:
    """The runner's task for a chunk."""
    sequence, row, written = answer.sequence, answer.row if chunk.samples else None, answer.sequence.generated
    sampling = answer.row.sampling
    if sampling.prompt_logprobs is None or written:
        return Task(chunk, row, written)
    offset = max(0, sequence.scored - chunk.start)
    targets = sequence.request.prompt_token_ids[chunk.start + offset + 1 : chunk.stop + 1]
    sequence.scored += len(targets)
    return Task(chunk, row, written, targets, offset, sampling.prompt_logprobs)
