"""The whole engine on a GPU, from random weights: decoding, prompts, both at once, and what the host adds."""

import statistics
import traceback
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from benchmarks.device import Speeds
from benchmarks.gpu_workloads import Workload, write_config
from benchmarks.isolated import Record, within
from benchmarks.model_kernels import work
from benchmarks.shapes import spread_tokens
from engine.config import EngineConfig
from engine.device import free_unused
from engine.engine import Engine
from engine.floors import DecodeFloor
from engine.request import Request, SamplingParams
from engine.runner.runner import Launched
from engine.scheduler.pages import pages_for
from engine.start import Started, start_engine

WARMING_STEPS = 4


def measure(
    workload: Workload, device: torch.device, speeds: Speeds, seconds: float, *, enforce_eager: bool
) -> Iterator[Record]:
    """Every figure of one model, the most wanted first; each kind has its share of the time, and fails alone."""
    free_unused(device)
    with TemporaryDirectory() as directory:
        config = EngineConfig(
            model=write_config(Path(directory), workload.model),
            load_format="dummy",
            dtype=workload.dtype,
            device=str(device),
            max_num_seqs=workload.slots,
            max_num_batched_tokens=workload.max_num_batched_tokens,
            run_ahead=True,
            enforce_eager=enforce_eager,
            enable_prefix_caching=False,
        )
        began = perf_counter()
        try:
            started = start_engine(config)
        except Exception as error:  # A start that fails is a result, and what is asked next.
            traceback.print_exc()
            yield {"what": "start", "failed": f"{type(error).__name__}: {error}"}
            return
    graphs = "none" if enforce_eager else "captured"
    yield {"what": "start", "seconds": perf_counter() - began, "graphs": graphs, "plan": started.description}
    bench = Bench(workload, started, config, speeds)
    left = seconds - (perf_counter() - began)
    for share, figures in (
        (0.30, bench.decode),
        (0.15, bench.prefill),
        (0.35, bench.saturated),
        (0.10, bench.first_tokens),
        (0.10, bench.waiting),
    ):
        yield from within(share * left, figures(), what=figures.__name__)
        bench.clear()


class Bench:
    """One engine and what is asked of it. The caches hold random numbers."""

    def __init__(self, workload: Workload, started: Started, config: EngineConfig, speeds: Speeds) -> None:
        self.workload, self.engine, self.speeds = workload, started.engine, speeds
        self.floor = DecodeFloor(workload.model, config, "mxfp4")
        self._ids = count()
        for cache in (self.engine.runner.rings, self.engine.runner.pages):
            cache.keys.normal_()
            cache.values.normal_()

    def decode(self) -> Iterator[Record]:
        """A step's time by requests and context; the floor is what it must read."""
        for context in self.workload.contexts:
            for batch in self.workload.batches:
                length = min(context, self.engine.max_model_len - self.workload.steps - 2 * WARMING_STEPS)
                asked = {"requests": batch, "context": length}
                if not self.fits(batch, length):
                    yield asked | {"left_out": "its keys and values do not fit in the caches"}
                    continue
                self.seat(batch, length)
                seconds, host = self.steps(self.workload.steps)
                self.clear()
                floor = self.floor.step_bytes(batch, length) / self.speeds.bytes
                yield asked | speed(batch, seconds, floor) | {"host_share": host}

    def prefill(self) -> Iterator[Record]:
        """From a prompt to its first token; the floor is its products."""
        for tokens in self.workload.prefills:
            if not self.fits(1, tokens):
                yield {"tokens": tokens, "left_out": "its keys and values do not fit in the caches"}
                continue
            seconds = min(self.first_token(tokens)[0] for _ in range(3 if tokens <= 8192 else 1))
            yield {"tokens": tokens} | speed(tokens, seconds, self.prefill_floor(tokens))

    def saturated(self) -> Iterator[Record]:
        """Answers' tokens a second with every slot taken, over a window of a steady state: whoever ends is followed by
        a new prompt, and at first each request stands somewhere else in its answer."""
        for prompt, answer in self.workload.saturated:
            requests = min(self.workload.slots, self.most(prompt + answer))
            for number in range(requests):
                written = answer * number // requests
                self.seat(1, prompt + written, max_tokens=answer - written)
            for _ in range(WARMING_STEPS):
                self.follow(prompt, answer)
            began, tokens = perf_counter(), 0
            while perf_counter() - began < self.workload.window_seconds:
                tokens += self.follow(prompt, answer)
            seconds = (perf_counter() - began) / max(1, tokens)
            self.clear()
            step = self.floor.step_bytes(requests, prompt + answer // 2) / self.speeds.bytes
            floor = step / requests + self.prefill_floor(prompt) / answer
            yield {"requests": requests, "prompt": prompt, "answer": answer} | speed(1, seconds, floor)

    def first_tokens(self) -> Iterator[Record]:
        """A prompt's first token while others decode, and how long these wait for theirs. The second of two prompts
        is measured, for with the first one a kernel may have been compiled."""
        for tokens in self.workload.arriving:
            self.seat(self.workload.beside, self.workload.contexts[0])
            undisturbed, _ = self.steps(self.workload.steps)
            _, (seconds, slowest) = self.first_token(tokens), self.first_token(tokens)
            self.clear()
            yield {
                "tokens": tokens,
                "beside": self.workload.beside,
                "seconds": seconds,
                "floor_seconds": self.prefill_floor(tokens),
                "their_step": undisturbed,
                "their_slowest_step": slowest,
            }

    def waiting(self) -> Iterator[Record]:
        """Whether steady steps wait for the device anywhere but at the event of the step before, as torch sees it."""
        if not torch.cuda.is_available():
            yield {"left_out": "torch sees waits on a GPU only"}
            return
        self.seat(self.workload.beside, self.workload.contexts[0])
        self.steps(WARMING_STEPS)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(self.workload.steps):
                self.engine.step()
            yield {"steps": self.workload.steps, "waits": "none found"}
        except RuntimeError as error:
            yield {"steps": self.workload.steps, "waits": str(error)}
        finally:
            torch.cuda.set_sync_debug_mode("default")
            self.clear()

    def steps(self, number: int) -> tuple[float, float]:
        """The median seconds of a step, and which part of it the host does not wait for the device."""
        for _ in range(WARMING_STEPS):
            self.engine.step()
        times, waits = [], Waits(self.engine)
        for _ in range(number):
            began = perf_counter()
            self.engine.step()
            times.append(perf_counter() - began)
        waits.stop()
        return statistics.median(times), 1 - waits.seconds / sum(times)

    def first_token(self, tokens: int) -> tuple[float, float]:
        """Seconds from a prompt's arrival to its token, and the longest step until then."""
        request = self.request(tokens, max_tokens=1)
        began, slowest, arrived = perf_counter(), 0.0, False
        self.engine.add(request)
        while not arrived:
            step = perf_counter()
            arrived = any(event.request_id == request.id for event in self.engine.step())
            slowest = max(slowest, perf_counter() - step)
        return perf_counter() - began, slowest

    def follow(self, prompt: int, answer: int) -> int:
        """Runs a step and lets a request follow each that ends; the tokens that came."""
        events = self.engine.step()
        for event in events:
            if event.finish_reason is not None:
                self.engine.add(self.request(prompt, max_tokens=answer))
        return sum(len(event.token_ids) for event in events)

    def seat(self, requests: int, context: int, max_tokens: int | None = None) -> None:
        """Lets requests decode as if their prompts had been read: they hold places, and what stands there is random."""
        scheduler = self.engine.scheduler
        for _ in range(requests):
            self.engine.add(self.request(context, max_tokens))
            sequence = scheduler._admit()
            assert sequence is not None
            assert scheduler._make_room(sequence, context)
            sequence.computed = context - 1

    def request(self, tokens: int, max_tokens: int | None = None) -> Request:
        number = next(self._ids)
        sampling = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
        prompt = spread_tokens(number, tokens, self.workload.model.vocab_size)
        return Request(id=str(number), prompt_token_ids=prompt, sampling=sampling)

    def clear(self) -> None:
        """Ends every request, and waits for the device."""
        scheduler = self.engine.scheduler
        for sequence in [*scheduler.running, *scheduler.waiting]:
            self.engine.abort(sequence.request.id)
        self.engine.step()
        self.engine.runner.check()

    def fits(self, requests: int, context: int) -> bool:
        return context <= self.engine.max_model_len and requests <= min(self.workload.slots, self.most(context + 64))

    def most(self, tokens: int) -> int:
        """How many requests of so many tokens the pages hold."""
        scheduler = self.engine.scheduler
        return scheduler.pool.total // pages_for(tokens, scheduler.page_size)

    def prefill_floor(self, tokens: int) -> float:
        return self.speeds.floor(*work(self.workload.model, [(0, tokens)]))


class Waits:
    """How long an engine waits for its steps' results, while this counts."""

    def __init__(self, engine: Engine) -> None:
        self.seconds = 0.0
        self._runner, self._launch = engine.runner, engine.runner.launch
        self._runner.launch = self.launch  # type: ignore[method-assign]

    def launch(self, tasks: Any) -> Launched:
        return Timed(self._launch(tasks), self)

    def stop(self) -> None:
        self._runner.launch = self._launch  # type: ignore[method-assign]


class Timed(Launched):
    """A step on its way whose reading is timed."""

    def __init__(self, launched: Launched, waits: Waits) -> None:
        super().__init__(launched.tasks, launched.rows, launched.chosen, launched.scored)
        read: Callable[[], Any] = super().read

        def timed() -> Any:
            began = perf_counter()
            outcomes = read()
            waits.seconds += perf_counter() - began
            return outcomes

        object.__setattr__(self, "read", timed)


def speed(tokens: int, seconds: float, floor: float) -> Record:
    """So many tokens in so many seconds, beside the seconds of the floor."""
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "floor_tokens_per_second": tokens / floor,
        "share": floor / seconds,
    }
