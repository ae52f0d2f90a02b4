"""The engine: add requests, abort them, step. A step is a sentence: plan, run, settle."""

import logging
import math
import random
from dataclasses import replace
from time import monotonic

from engine.admission import admit
from engine.errors import RequestError
from engine.grammar import GrammarCompiler, GrammarState
from engine.plan import Chunk
from engine.request import SEED_BITS, FinishReason, Request, SamplingParams, TokenEvent, TokenLogprob
from engine.runner.runner import Outcome, Runner, Task
from engine.sampling.rows import SamplingRow
from engine.sampling.sampler import Sampled
from engine.scheduler.scheduler import Scheduler
from engine.scheduler.sequence import Sequence

NOT_FINITE = "the model's numbers are not finite"

logger = logging.getLogger("carousel.engine")


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
        poison_freed: bool = False,
    ) -> None:
        self.runner = runner
        self.scheduler = scheduler
        self.max_model_len = max_model_len
        self.poison_freed = poison_freed
        self.step_tokens = 0
        """Tokens that the last step ran, of prompts and answers."""
        self.grammars = grammars
        self._grammar_states: dict[str, GrammarState] = {}
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
        self.scheduler.add(request)
        self._added[request.id] = monotonic()

    def abort(self, request_id: str) -> TokenEvent | None:
        """Ends a request wherever it stands. None if it has ended already."""
        if request_id not in self.scheduler:
            return None
        self._forget(request_id)
        return TokenEvent(request_id=request_id, finish_reason=FinishReason.ABORT)

    def step(self) -> list[TokenEvent]:
        """Runs one step of everything queued; empty if nothing is.

        What fails ends the requests it concerns, with an event. Raises only if the device can compute nothing more.
        """
        chunks = self.scheduler.plan()
        self.step_tokens = sum(len(chunk.token_ids) for chunk in chunks)
        self._clear()
        if not chunks:
            return []
        for chunk in chunks:
            if chunk.request_id in self._added:
                self._waited[chunk.request_id] = monotonic() - self._added.pop(chunk.request_id)
        tasks = [self._task(chunk) for chunk in chunks]
        outcomes = self._run(tasks)
        events = [self._settle(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True)]
        return [event for event in events if event is not None]

    def _run(self, tasks: list[Task]) -> list[Outcome | Exception]:
        """What each task brought. If a step fails, its tasks run again one by one: who fails alone has failed."""
        outcomes = self._try(tasks)
        if isinstance(outcomes, Exception):
            return [outcomes] if len(tasks) == 1 else [self._run_alone(task) for task in tasks]
        return [*outcomes]

    def _run_alone(self, task: Task) -> Outcome | Exception:
        """Runs a task of a step that failed half way; first, if its rings may have lost something, all before it."""
        chunk, most = task.chunk, self.scheduler.max_batched_tokens
        tokens = self.scheduler[chunk.request_id].tokens
        for start in range(0, 0 if chunk.repeatable else chunk.start, most):
            token_ids = tuple(tokens[start : min(start + most, chunk.start)])
            earlier = replace(chunk, token_ids=token_ids, start=start, samples=False)
            if isinstance(failure := self._try([Task(earlier)]), Exception):
                return failure
        outcomes = self._try([task])
        return outcomes if isinstance(outcomes, Exception) else outcomes[0]

    def _try(self, tasks: list[Task]) -> list[Outcome] | Exception:
        """Raises what the device raises if it can compute nothing more."""
        try:
            return self.runner.run(tasks)
        except Exception as error:
            logger.error("a step of %d sequences failed", len(tasks), exc_info=error)
            failure = error.with_traceback(None)  # Whose frames hold the step's tensors.
        self.runner.check()
        return failure

    def _task(self, chunk: Chunk) -> Task:
        sequence = self.scheduler[chunk.request_id]
        sampling = sequence.request.sampling
        row = self._sampling_row(sequence) if chunk.samples else None
        if sampling.prompt_logprobs is None or sequence.generated:
            return Task(chunk, row)
        scored = self._prompt_logprobs.setdefault(chunk.request_id, [])
        offset = max(0, len(scored) - chunk.start)
        targets = sequence.request.prompt_token_ids[chunk.start + offset + 1 : chunk.stop + 1]
        return Task(chunk, row, targets, offset, sampling.prompt_logprobs)

    def _sampling_row(self, sequence: Sequence) -> SamplingRow:
        sampling = sequence.request.sampling
        banned = self._stop_ids(sampling) if sequence.generated < sampling.min_tokens else ()
        generated = sequence.tokens[sequence.prompt_length :]
        grammar = self._grammar_states.get(sequence.request.id)
        return SamplingRow(sampling, sequence.request.prompt_token_ids, generated, banned, grammar)

    def _settle(self, task: Task, outcome: Outcome | Exception) -> TokenEvent | None:
        """Takes in what a chunk brought; an event if its request has something to say."""
        request_id = task.chunk.request_id
        if isinstance(outcome, Exception):
            return self._fail(request_id, f"the engine failed to run this request ({type(outcome).__name__})")
        if not is_finite(outcome):
            return self._fail(request_id, NOT_FINITE)
        sequence = self.scheduler[request_id]
        self.scheduler.advance(task.chunk)
        if task.targets:
            self._prompt_logprobs[request_id] += outcome.target_logprobs
        sampling = sequence.request.sampling
        writes_nothing = sampling.max_tokens == 0 and sequence.remaining == 0
        if outcome.sampled is None and not writes_nothing:
            return None
        event = TokenEvent(
            request_id=request_id,
            prompt_logprobs=self._take_prompt_logprobs(request_id),
            queue_seconds=self._waited.pop(request_id, None),
        )
        if outcome.sampled is None:
            event = replace(event, finish_reason=FinishReason.LENGTH)
        else:
            event = self._take_token(event, sequence, outcome.sampled)
        if event.finish_reason is not None:
            self._forget(request_id)
        return event

    def _fail(self, request_id: str, error: str) -> TokenEvent:
        """Ends a request that went wrong. Its places are overwritten: what it left there may be no numbers."""
        self._forget(request_id, overwrite=True)
        return TokenEvent(request_id=request_id, finish_reason=FinishReason.ERROR, error=error)

    def _take_token(self, event: TokenEvent, sequence: Sequence, sampled: Sampled) -> TokenEvent:
        """The event with a sampled token, and with the end if that was the last one."""
        request_id, sampling, token = event.request_id, sequence.request.sampling, sampled.token_id
        assert token is not None
        self.scheduler.append(request_id, token)
        grammar = self._grammar_states.get(request_id)
        if grammar is not None:
            grammar.advance(token)
        stopped = token in self._stop_ids(sampling) and sequence.generated > sampling.min_tokens
        finish, error = None, None
        if stopped:
            finish = FinishReason.STOP
        elif grammar is not None and grammar.error is not None:
            finish, error = FinishReason.ERROR, f"the grammar cannot go on: {grammar.error}"
        elif grammar is not None and grammar.complete:
            finish = FinishReason.STOP
        elif sequence.generated == sampling.max_tokens:
            finish = FinishReason.LENGTH
        return replace(
            event,
            token_ids=(token,),
            logprobs=() if sampled.logprob is None else (sampled.logprob,),
            finish_reason=finish,
            stop_token_id=token if stopped else None,
            error=error,
        )

    def _stop_ids(self, sampling: SamplingParams) -> tuple[int, ...]:
        eos = () if sampling.ignore_eos else self.runner.model.config.eos_token_ids
        return (*eos, *sampling.stop_token_ids)

    def _take_prompt_logprobs(self, request_id: str) -> tuple[TokenLogprob | None, ...] | None:
        scored = self._prompt_logprobs.pop(request_id, None)
        return None if scored is None else (None, *scored)

    def _forget(self, request_id: str, *, overwrite: bool = False) -> None:
        self.scheduler.remove(request_id)
        self._prompt_logprobs.pop(request_id, None)
        self._grammar_states.pop(request_id, None)
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
