"""The engine: add requests, abort them, step. A step is a sentence: plan, launch, settle.

On a GPU the engine runs one step ahead: a step is planned and launched before the last one's tokens are read, so that
the device never waits for the host. A token that the host does not know yet is planned as one to come, and the runner
feeds it on the device.

    step      1           2             3             4
    launch    A, B        A, B          A, B          A
    settle    -           A, B of 1     A, B of 2     A of 3         B's token of 2 ended it

What ends by its length is known ahead. What ends by a stop token is known one step late: the step on its way carries
it once more, and what that brings is dropped. Its places are given back at once: whatever takes them is launched later,
and the device keeps the order. The same holds for what is aborted, preempted or fails.

A grammar needs the last token on the host: a step that samples for one is settled before the next is planned.
"""

import logging
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TypeVar

from msgspec import structs

from engine.admission import admit
from engine.errors import RequestError
from engine.grammar import GrammarCompiler, GrammarState
from engine.plan import Chunk
from engine.request import SEED_BITS, FinishReason, Request, SamplingParams, TokenEvent, TokenLogprob
from engine.runner.runner import Launched, Outcome, Runner, Task
from engine.sampling.occurrences import Occurrences
from engine.sampling.rows import SamplingRow
from engine.sampling.sampler import Sampled
from engine.scheduler.scheduler import Scheduler
from engine.scheduler.sequence import Sequence

NOT_FINITE = "the model's numbers are not finite"

T = TypeVar("T")

logger = logging.getLogger("carousel.engine")


@dataclass(frozen=True, slots=True)
class Flight:
    """A step on its way: its tasks, the sequences they are of, and what was launched, or why that failed."""

    tasks: list[Task]
    sequences: list[Sequence]
    launched: Launched | Exception

    @property
    def leads(self) -> bool:
        """Whether the next step can be planned before this one is settled."""
        governed = any(task.row is not None and task.row.grammar is not None for task in self.tasks)
        return not governed and not isinstance(self.launched, Exception)


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
        """Tokens that the last step launched, of prompts and answers."""
        self.grammars = grammars
        self._flight: Flight | None = None
        self._grammar_states: dict[str, GrammarState] = {}
        self._occurrences: dict[str, Occurrences] = {}
        self._seeds = random.Random(seed)
        self._prompt_logprobs: dict[str, list[TokenLogprob]] = {}
        self._added: dict[str, float] = {}
        self._waited: dict[str, float] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.scheduler.idle

    def add(self, request: Request) -> None:
        """Queues a request. Raises RequestError for one that cannot be served, or an id that is in use."""
        if request.id in self.scheduler:
            raise RequestError(f"request id {request.id} is in use", param="id")
        request = admit(request, self.runner.model.config.vocab_size, self.max_model_len)
        if request.sampling.seed is None:
            sampling = replace(request.sampling, seed=self._seeds.getrandbits(SEED_BITS))
            request = replace(request, sampling=sampling)
        if request.sampling.grammar is not None:
            self._grammar_states[request.id] = self.grammars.compile(request.sampling.grammar)
        if request.sampling.penalised:
            self._occurrences[request.id] = Occurrences(request.prompt_token_ids)
        self.scheduler.add(request)
        self._added[request.id] = monotonic()

    def abort(self, request_id: str) -> TokenEvent | None:
        """Ends a request wherever it stands. None if it has ended already."""
        if request_id not in self.scheduler:
            return None
        self._forget(request_id)
        return TokenEvent(request_id=request_id, finish_reason=FinishReason.ABORT)

    def step(self) -> list[TokenEvent]:
        """Plans and launches a step of everything queued, and settles the one before it, or this one if it cannot stay
        on its way. Empty if nothing has come of that.

        What fails ends the requests it concerns, with an event. Raises only if the device can compute nothing more.
        """
        launched = self._launch()
        events = self._settle()
        self._flight = launched
        if launched is not None and not (self.runs_ahead and launched.leads):
            events += self._settle()
        return events

    def _launch(self) -> Flight | None:
        chunks = self.scheduler.plan()
        self.step_tokens = sum(chunk.count for chunk in chunks)
        self._clear()
        if not chunks:
            return None
        sequences = [self.scheduler[chunk.request_id] for chunk in chunks]
        tasks = [self._task(chunk, sequence) for chunk, sequence in zip(chunks, sequences, strict=True)]
        launched = self._try(partial(self.runner.launch, tasks), len(tasks))
        for chunk in chunks:
            self.scheduler.launch(chunk)
            if chunk.request_id in self._added:
                self._waited[chunk.request_id] = monotonic() - self._added.pop(chunk.request_id)
        return Flight(tasks, sequences, launched)

    def _settle(self) -> list[TokenEvent]:
        """Takes in what the step on its way has brought."""
        flight, self._flight = self._flight, None
        if flight is None:
            return []
        outcomes = self._outcomes(flight)
        settled = zip(flight.tasks, flight.sequences, outcomes, strict=True)
        events = [self._take(task, sequence, outcome) for task, sequence, outcome in settled if self._serves(sequence)]
        return [event for event in events if event is not None]

    def _serves(self, sequence: Sequence) -> bool:
        """Whether its request has not ended (another one may have the same id by now)."""
        request_id = sequence.request.id
        return request_id in self.scheduler and self.scheduler[request_id] is sequence

    def _outcomes(self, flight: Flight) -> list[Outcome | Exception]:
        """What each task brought. If a launch failed, its tasks run one by one: who fails alone has failed."""
        count = len(flight.tasks)
        if isinstance(flight.launched, Launched):
            outcomes = self._try(flight.launched.read, count)
            return [outcomes] * count if isinstance(outcomes, Exception) else [*outcomes]
        if count == 1:
            return [flight.launched]
        alone = zip(flight.tasks, flight.sequences, strict=True)
        return [self._run_alone(task, one) if self._serves(one) else flight.launched for task, one in alone]

    def _run_alone(self, task: Task, sequence: Sequence) -> Outcome | Exception:
        """Runs a task of a step that failed half way; first, if its rings may have lost something, all before it."""
        chunk, most = task.chunk, self.scheduler.max_batched_tokens
        begin = chunk.start if chunk.repeatable else 0
        row = task.row and structs.replace(
            task.row, coming=False
        )  # The step before is settled: all its tokens are known.
        starts = [*range(begin, chunk.start, most), chunk.start]
        for start, stop in zip(starts, [*starts[1:], chunk.stop], strict=True):
            part = structs.replace(chunk, token_ids=tuple(sequence.tokens[start:stop]), start=start)
            runs = (
                structs.replace(task, chunk=part, row=row)
                if start == chunk.start
                else Task(structs.replace(part, samples=False))
            )
            outcome = self._try(partial(self._run, runs), 1)
            if isinstance(outcome, Exception):
                break
        return outcome

    def _run(self, task: Task) -> Outcome:
        (outcome,) = self.runner.launch([task]).read()
        return outcome

    def _try(self, work: Callable[[], T], sequences: int) -> T | Exception:
        """Raises what the device raises if it can compute nothing more."""
        try:
            return work()
        except Exception as error:
            logger.error("a step of %d sequences failed", sequences, exc_info=error)
            failure = error.with_traceback(None)  # Whose frames hold the step's tensors.
        self.runner.check()
        return failure

    def _task(self, chunk: Chunk, sequence: Sequence) -> Task:
        sampling = sequence.request.sampling
        row = self._sampling_row(sequence) if chunk.samples else None
        if sampling.prompt_logprobs is None or sequence.generated:
            return Task(chunk, row)
        offset = max(0, sequence.scored - chunk.start)
        targets = sequence.request.prompt_token_ids[chunk.start + offset + 1 : chunk.stop + 1]
        sequence.scored += len(targets)
        return Task(chunk, row, targets, offset, sampling.prompt_logprobs)

    def _sampling_row(self, sequence: Sequence) -> SamplingRow:
        request_id, sampling, written = sequence.request.id, sequence.request.sampling, sequence.generated
        banned = self._stop_ids(sampling) if written < sampling.min_tokens else ()
        occurrences, grammar = self._occurrences.get(request_id), self._grammar_states.get(request_id)
        return SamplingRow(sampling, written, occurrences, sequence.coming > 0, banned, grammar)

    def _take(self, task: Task, sequence: Sequence, outcome: Outcome | Exception) -> TokenEvent | None:
        """Takes in what a chunk brought; an event if its request has something to say."""
        request_id = task.chunk.request_id
        if isinstance(outcome, Exception):
            return self._fail(request_id, f"the engine failed to run this request ({type(outcome).__name__})")
        if not is_finite(outcome):
            return self._fail(request_id, NOT_FINITE)
        if task.targets:
            self._prompt_logprobs.setdefault(request_id, []).extend(outcome.target_logprobs)
        writes_nothing = sequence.request.sampling.max_tokens == 0 and task.chunk.stop == sequence.prompt_length
        if outcome.sampled is None and not writes_nothing:
            return None
        scores, waited = self._take_prompt_logprobs(sequence), self._waited.pop(request_id, None)
        if outcome.sampled is None:
            reason = FinishReason.LENGTH
            event = TokenEvent(
                request_id=request_id, prompt_logprobs=scores, finish_reason=reason, queue_seconds=waited
            )
        else:
            event = self._take_token(sequence, outcome.sampled, scores, waited)
        if event.finish_reason is not None:
            self._forget(request_id)
        return event

    def _fail(self, request_id: str, error: str) -> TokenEvent:
        """Ends a request that went wrong. Its places are overwritten: what it left there may be no numbers."""
        self._forget(request_id, overwrite=True)
        return TokenEvent(request_id=request_id, finish_reason=FinishReason.ERROR, error=error)

    def _take_token(
        self,
        sequence: Sequence,
        sampled: Sampled,
        prompt_logprobs: tuple[TokenLogprob | None, ...] | None,
        waited: float | None,
    ) -> TokenEvent:
        """The event of a sampled token, with the end if that was the last one."""
        request_id, sampling, token = sequence.request.id, sequence.request.sampling, sampled.token_id
        assert token is not None
        self.scheduler.arrive(request_id, token)
        if (occurrences := self._occurrences.get(request_id)) is not None:
            occurrences.add(token)
        grammar = self._grammar_states.get(request_id)
        if grammar is not None:
            grammar.advance(token)
        stopped = token in self._stop_ids(sampling) and sequence.written > sampling.min_tokens
        finish, error = None, None
        if stopped:
            finish = FinishReason.STOP
        elif grammar is not None and grammar.error is not None:
            finish, error = FinishReason.ERROR, f"the grammar cannot go on: {grammar.error}"
        elif grammar is not None and grammar.complete:
            finish = FinishReason.STOP
        elif sequence.written == sampling.max_tokens:
            finish = FinishReason.LENGTH
        return TokenEvent(
            request_id=request_id,
            token_ids=(token,),
            logprobs=() if sampled.logprob is None else (sampled.logprob,),
            prompt_logprobs=prompt_logprobs,
            finish_reason=finish,
            stop_token_id=token if stopped else None,
            error=error,
            queue_seconds=waited,
        )

    def _stop_ids(self, sampling: SamplingParams) -> tuple[int, ...]:
        eos = () if sampling.ignore_eos else self.runner.model.config.eos_token_ids
        return (*eos, *sampling.stop_token_ids)

    def _take_prompt_logprobs(self, sequence: Sequence) -> tuple[TokenLogprob | None, ...] | None:
        """Once, with what follows the prompt."""
        if sequence.request.sampling.prompt_logprobs is None or sequence.written:
            return None
        return None, *self._prompt_logprobs.pop(sequence.request.id, ())

    def _forget(self, request_id: str, *, overwrite: bool = False) -> None:
        self.scheduler.remove(request_id)
        self._prompt_logprobs.pop(request_id, None)
        self._grammar_states.pop(request_id, None)
        self._occurrences.pop(request_id, None)
        self._added.pop(request_id, None)
        self._waited.pop(request_id, None)
        self._clear(overwrite=overwrite)

    def _clear(self, *, overwrite: bool = False) -> None:
        """Overwrites the places given back: with zeros, or in tests, always, with NaN."""
        released = self.scheduler.take_released()
        if self.poison_freed or overwrite:
            for places in released:
                self.runner.fill(places, math.nan if self.poison_freed else 0.0)


def is_finite(outcome: Outcome) -> bool:
    """Whether what the model said of a chunk are numbers."""
    sampled = outcome.sampled is None or outcome.sampled.token_id is not None
    return sampled and all(math.isfinite(scored.logprob) for scored in outcome.target_logprobs)
