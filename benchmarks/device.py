"""Times of GPU work, and what the GPU could do at best, measured in the same run."""

import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

REPEATS = 20


@dataclass(frozen=True)
class Speeds:
    """Bytes a second of a large copy, read and written together; operations a second of a large bfloat16 product."""

    bytes: float
    operations: float

    def floor(self, moved: float, operations: float) -> float:
        """Seconds that so much work takes at least."""
        return max(moved / self.bytes, operations / self.operations)


def graph_seconds(calls: Sequence[Callable[[], object]]) -> float:
    """The median time of one call, in seconds of the device, with all `calls` in one CUDA graph: nothing of the host's.

    Calls that touch different weights keep them from staying in the device's cache between repeats.
    """
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
    graph.replay()
    times: list[float] = []
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(times) / len(calls)


def measure_speeds(device: torch.device) -> Speeds:
    source = torch.randn(2**29, device=device).to(torch.bfloat16)
    target = torch.empty_like(source)
    copied = graph_seconds([lambda: target.copy_(source)])
    left, right = source[: 2**26].view(2**13, 2**13), source[2**26 : 2**27].view(2**13, 2**13)
    product = target[: 2**26].view(2**13, 2**13)
    multiplied = graph_seconds([lambda: torch.mm(left, right, out=product)])
    return Speeds(2 * source.nbytes / copied, 2 * 2**39 / multiplied)


def describe_machine(device: torch.device) -> dict[str, str]:
    """What a figure is worth nothing without."""
    import triton

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return {
        "gpu": torch.cuda.get_device_name(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "triton": triton.__version__,
        "commit": commit.stdout.strip() or "unknown",
    }
