"""Times of GPU work, and the GPU's best possible times, measured in the same run."""

import os
import platform
import statistics
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from math import ceil
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

WARMING_SECONDS = 0.1
"""The time that an idle GPU's clock takes to rise."""
SPAN_SECONDS = 2e-3
"""The least time between two events, so that an event's own time does not count."""
MOST_SPANS, FEWEST_SPANS = 20, 5
LONGEST_SECONDS = 1.0
"""Limit of all spans together, unless the fewest spans take longer."""
COLD_BYTES = 2**28
"""The least that the calls of one graph read together: several times a GPU's level-two cache."""
UNKNOWN = "unknown"
PACKAGES = "torch", "triton", "transformers", "tokenspeed-triton-kernels"


@dataclass(frozen=True)
class Speeds:
    """Bytes a second of a large copy, read and written together; operations a second of a large bfloat16 product."""

    bytes: float
    operations: float

    def floor(self, moved: float, operations: float) -> float:
        """The least seconds that so much work takes."""
        return max(moved / self.bytes, operations / self.operations)


def seconds_a_call(calls: Sequence[Callable[[], object]], device: torch.device) -> float:
    """The median time of one call in seconds of the device, without the host, as all `calls` are in one CUDA graph.

    Calls with different weights keep these out of the device's cache between repeats. On a CPU each call runs once,
    which proves only that it runs.
    """
    if device.type == "cpu":
        began = perf_counter()
        for call in calls:
            call()
        return (perf_counter() - began) / len(calls)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return seconds_a_replay(graph.replay, partial(torch.cuda.Event, enable_timing=True)) / len(calls)


def seconds_a_replay(replay: Callable[[], object], event: Callable[[], torch.cuda.Event]) -> float:
    """The median of several spans of warm replays. All are queued at once, and an extra replay precedes the first
    event, so that the device never waits for the host between two events."""

    def seconds_in_spans(count: int, replays: int) -> list[float]:
        events = [event() for _ in range(count + 1)]
        replay()
        events[0].record()
        for end in events[1:]:
            for _ in range(replays):
                replay()
            end.record()
        events[-1].synchronize()
        return [begin.elapsed_time(end) / 1e3 / replays for begin, end in pairwise(events)]

    began = perf_counter()
    while True:
        (once,) = seconds_in_spans(1, 1)
        if perf_counter() - began >= WARMING_SECONDS:
            break
    replays = ceil(SPAN_SECONDS / once)
    count = min(MOST_SPANS, max(FEWEST_SPANS, int(LONGEST_SECONDS / (replays * once))))
    return statistics.median(seconds_in_spans(count, replays))


def cold_copies(nbytes: int, device: torch.device) -> int:
    """How many tensors of `nbytes` are together too large for any cache to keep until the next repeat; one on a CPU."""
    return -(-COLD_BYTES // nbytes) if device.type == "cuda" else 1


def measure_speeds(device: torch.device) -> Speeds:
    """Measures the floors' speeds. On a CPU, copies and products are too small to mean anything."""
    scale = 1 if device.type == "cuda" else 2**12
    side = 2**13 // int(scale**0.5)
    source = torch.randn(2**29 // scale, device=device).to(torch.bfloat16)
    target = torch.empty_like(source)
    copied = seconds_a_call([lambda: target.copy_(source)], device)
    left, right = (source[i * side**2 : (i + 1) * side**2].view(side, side) for i in range(2))
    product = target[: side**2].view(side, side)
    multiplied = seconds_a_call([lambda: torch.mm(left, right, out=product)], device)
    return Speeds(2 * source.nbytes / copied, 2 * side**3 / multiplied)


def attempt(asked: dict[str, object], measured: Callable[[], dict[str, object]]) -> Iterator[dict[str, object]]:
    """What was asked with what was measured, or with the failure, after which the next one can run. Raises the device's
    error if the device can compute nothing more."""
    try:
        record = asked | measured()
    except Exception as error:  # A failure is a result.
        traceback.print_exc()
        record = asked | {"failed": f"{type(error).__name__}: {error}"}
    yield record
    if "failed" in record and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def relative_error(got: Tensor, want: Tensor) -> float:
    """|got − want| / |want|, over all elements."""
    return float((got.float() - want.float()).norm() / want.float().norm())


def differing(call: Callable[[], Tensor], first: Tensor, repeats: int) -> int:
    """How many of `repeats` repetitions differ in any bit from the first. No result depends on the order of programs,
    so a difference means that registers or shared memory are written while they are still read."""
    return sum(not torch.equal(call(), first) for _ in range(repeats))


def figures(seconds: float, floor: float) -> dict[str, object]:
    """A time beside its floor; `share` is floor / time."""
    return {"microseconds": seconds * 1e6, "floor_microseconds": floor * 1e6, "share": floor / seconds}


def timed(calls: Sequence[Callable[[], object]], device: torch.device, floor: float) -> dict[str, object]:
    """The time of one of `calls` beside its floor."""
    return figures(seconds_a_call(calls, device), floor)


def describe_machine(device: torch.device) -> dict[str, str]:
    """The hardware and versions without which a figure means nothing."""
    return {
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else "none: the CPU",
        "driver": nvidia_smi("driver_version"),
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "cuda": str(torch.version.cuda),
    } | {name: package_version(name) for name in PACKAGES}


def measure_machine(_: object, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """The machine, and the speeds from which the floors are computed."""
    measured = {"bytes_per_second": speeds.bytes, "operations_per_second": speeds.operations}
    yield {**describe_machine(device), **measured}


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def nvidia_smi(field: str) -> str:
    """A field that nvidia-smi reports of the first GPU, or UNKNOWN."""
    asked = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True)
    except OSError:
        return UNKNOWN
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else UNKNOWN


def commit_of_source() -> str:
    """This source's commit, or UNKNOWN if it is no checkout or git is missing."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent
        )
    except FileNotFoundError:
        return UNKNOWN
    return done.stdout.strip() or UNKNOWN
