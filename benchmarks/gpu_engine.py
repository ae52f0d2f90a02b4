"""The whole engine on a GPU with random weights: decoding, prompts, both at once, and the host's share."""

import statistics
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from benchmarks.device import Speeds
from benchmarks.gpu_steps import Driver, StepFailedError, warming_steps
from benchmarks.gpu_workloads import Workload, write_config
from benchmarks.isolated import Record, within
from benchmarks.model_kernels import work
from engine.config import EngineConfig
from engine.floors import DecodeFloor
from engine.model.weights import free_unused
from engine.start import Started, start_engine

FIGURES = {"decode": 0.30, "prefill": 0.15, "saturated": 0.35, "first_tokens": 0.10, "waiting": 0.10}
"""The kinds of figures, the most important first, and their shares of the time."""
MEMORY, LESS_MEMORY = 0.9, 0.75
"""The share of all memory that the engine plans with: a server's default, and less if that was too much."""
SAMPLES = 5
"""Samples of a first token; fewer for longer prompts."""


def start(
    workload: Workload,
    device: torch.device,
    *,
    enforce_eager: bool = False,
    memory: float = MEMORY,
    cache_bytes: int | None = None,
) -> tuple[Started, EngineConfig]:
    """Starts the measured engine; the caches take `cache_bytes`, or all that is left of `memory`."""
    with TemporaryDirectory() as directory:
        config = EngineConfig(
            model=write_config(Path(directory), workload.model),
            load_format="dummy",
            dtype=workload.dtype,
            device=str(device),
            max_num_seqs=workload.slots,
            max_num_batched_tokens=workload.max_num_batched_tokens,
            gpu_memory_utilization=memory,
            kv_cache_memory_bytes=cache_bytes,
            run_ahead=True,
            enforce_eager=enforce_eager,
            enable_prefix_caching=False,
        )
        return start_engine(config), config


def measure(
    workload: Workload,
    device: torch.device,
    speeds: Speeds,
    seconds: float,
    *,
    enforce_eager: bool = False,
    memory: float = MEMORY,
    kinds: Sequence[str] = tuple(FIGURES),
) -> Iterator[Record]:
    """Every figure of one model. Each kind has its share of the time and fails on its own. If the device can compute
    nothing more, the last record lists the `missing` kinds, which a new process can measure."""
    free_unused(device)
    began = perf_counter()
    asked: Record = {"what": "start", "graphs": "none" if enforce_eager else "captured", "memory": memory}
    try:
        started, config = start(workload, device, enforce_eager=enforce_eager, memory=memory)
    except Exception as error:  # A failed start is a result, and decides what is tried next.
        traceback.print_exc()
        yield asked | {"failed": f"{type(error).__name__}: {error}"}
        return
    yield asked | {"seconds": perf_counter() - began, "plan": started.description} | unallocated(device)
    bench = Bench(workload, started, config, speeds)
    for done, kind in enumerate(kinds):
        left = seconds - (perf_counter() - began)
        share = FIGURES[kind] / sum(FIGURES[other] for other in kinds[done:])
        figures: Callable[[], Iterator[Record]] = getattr(bench, kind)
        yield from within(share * left, figures(), what=kind)
        try:
            bench.driver.clear()
        except Exception as error:
            yield {"what": "device", "failed": f"{type(error).__name__}: {error}", "missing": [*kinds[done + 1 :]]}
            return


class Bench:
    """The measurements of one engine."""

    def __init__(self, workload: Workload, started: Started, config: EngineConfig, speeds: Speeds) -> None:
        self.workload, self.engine, self.speeds = workload, started.engine, speeds
        self.driver = Driver(started.engine, workload.model.vocab_size)
        self.floor = DecodeFloor(workload.model, config, "mxfp4")

    def figure(self, asked: Record, measured: Callable[[], Record]) -> Record:
        """What was asked with what was measured, or with the failure, after which the next one can run."""
        try:
            record = asked | measured()
        except StepFailedError as error:
            record = asked | {"failed": str(error)}
        self.driver.clear()
        return record

    def decode(self) -> Iterator[Record]:
        """A step's time by requests and context; the floor is the time to read what it must."""
        for context in self.workload.contexts:
            for batch in self.workload.batches:
                steps = self.workload.steps_of(batch)
                grown = warming_steps(steps) + steps + 4
                length = min(context, self.engine.max_model_len - grown)
                asked: Record = {"requests": batch, "context": length}
                if self.fits(batch, length + grown):
                    yield self.figure(asked, partial(self.step_time, batch, length, steps))
                else:
                    yield asked | {"left_out": "its keys and values do not fit in the caches"}

    def step_time(self, batch: int, context: int, steps: int) -> Record:
        self.driver.seat(batch, context)
        times = self.driver.steps(batch, steps)
        measured = speed(batch, times.median, self.floor.step_bytes(batch, context) / self.speeds.bytes)
        return measured | {"mean_seconds": times.mean, "host_share": times.host_share}

    def prefill(self) -> Iterator[Record]:
        """The median time from a prompt to its first token; the floor is the prompt's products."""
        for tokens in self.workload.prefills:
            if self.fits(1, tokens):
                yield self.figure({"tokens": tokens}, partial(self.prompt_time, tokens))
            else:
                yield {"tokens": tokens, "left_out": "its keys and values do not fit in the caches"}

    def prompt_time(self, tokens: int) -> Record:
        times = [self.driver.first_token(tokens)[0] for _ in range(samples_of(tokens))]
        measured = speed(tokens, statistics.median(times), self.prefill_floor(tokens))
        return measured | {"samples": len(times)}

    def saturated(self) -> Iterator[Record]:
        """Answers' tokens a second with every slot taken, over a window of a steady state: a new prompt follows each
        request that ends, and at the start each request is at another place in its answer."""
        for prompt, answer in self.workload.saturated:
            requests = min(self.workload.slots, self.driver.most(prompt + answer))
            asked: Record = {"requests": requests, "prompt": prompt, "answer": answer}
            yield self.figure(asked, partial(self.steady_state, requests, prompt, answer))

    def steady_state(self, requests: int, prompt: int, answer: int) -> Record:
        for number in range(requests):
            written = answer * number // requests
            self.driver.seat(1, prompt + written, max_tokens=answer - written)
        for _ in range(warming_steps(self.workload.steps)):
            self.driver.follow(prompt, answer)
        began, tokens = perf_counter(), 0
        while perf_counter() - began < self.workload.window_seconds:
            tokens += self.driver.follow(prompt, answer)
        seconds = (perf_counter() - began) / max(1, tokens)
        step = self.floor.step_bytes(requests, prompt + answer // 2) / self.speeds.bytes
        return speed(1, seconds, step / requests + self.prefill_floor(prompt) / answer)

    def first_tokens(self) -> Iterator[Record]:
        """The time to a prompt's first token while others decode, and how long these wait for theirs."""
        for tokens in self.workload.arriving:
            asked: Record = {"tokens": tokens, "beside": self.workload.beside}
            yield self.figure(asked, partial(self.first_token, tokens))

    def first_token(self, tokens: int) -> Record:
        """Medians. The first prompt does not count, because a kernel may have been compiled for it."""
        self.driver.seat(self.workload.beside, self.workload.contexts[0])
        undisturbed = self.driver.steps(self.workload.beside, self.workload.steps)
        _, *samples = (self.driver.first_token(tokens) for _ in range(SAMPLES + 1))
        seconds, slowest = zip(*samples, strict=True)
        return {
            "seconds": statistics.median(seconds),
            "floor_seconds": self.prefill_floor(tokens),
            "their_step": undisturbed.median,
            "their_slowest_step": statistics.median(slowest),
            "samples": SAMPLES,
        }

    def waiting(self) -> Iterator[Record]:
        """Whether torch sees steady steps wait for the device elsewhere than at the event of the step before."""
        if torch.cuda.is_available():
            yield self.figure({"steps": self.workload.steps}, self.steady_steps)
        else:
            yield {"left_out": "torch sees waits on a GPU only"}

    def steady_steps(self) -> Record:
        self.driver.seat(self.workload.beside, self.workload.contexts[0])
        for _ in range(warming_steps(self.workload.steps)):
            self.driver.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(self.workload.steps):
                self.driver.step()
        except RuntimeError as error:
            return {"waits": self.driver.failed_at or str(error)}
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return {"waits": "none found"}

    def fits(self, requests: int, tokens: int) -> bool:
        """Whether `requests` requests can grow to `tokens` tokens."""
        within_model = tokens <= self.engine.max_model_len
        return within_model and requests <= min(self.workload.slots, self.driver.most(tokens))

    def prefill_floor(self, tokens: int) -> float:
        return self.speeds.floor(*work(self.workload.model, [(0, tokens)]))


def unallocated(device: torch.device) -> Record:
    """The GPU memory that torch reserves and no tensor uses now."""
    if device.type != "cuda":
        return {}
    return {"unallocated_bytes": torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)}


def samples_of(tokens: int) -> int:
    """How many prompts of `tokens` tokens are read: a whole context takes seconds.

    >>> [samples_of(tokens) for tokens in (1024, 8192, 32_768, 131_072)]
    [5, 5, 3, 1]
    """
    return SAMPLES if tokens <= 8192 else 3 if tokens <= 32_768 else 1


def speed(tokens: int, seconds: float, floor: float) -> Record:
    """A record of tokens and seconds, beside the floor's seconds."""
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "floor_tokens_per_second": tokens / floor,
        "share": floor / seconds,
    }
