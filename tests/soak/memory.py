"""The memory of the server and its engine (RssAnon + VmSwap), and its growth."""

import re
from pathlib import Path

import psutil

LIMIT_MB = 20.0
"""The most that memory may grow in the second half of a soak."""


def anonymous_mb(pid: int) -> float:
    """The memory of a process and its children, in MB (1e6 bytes)."""
    kib = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # The process has just ended.
        kib += sum(int(value) for value in re.findall(r"^(?:RssAnon|VmSwap):\s+(\d+) kB", status, re.MULTILINE))
    return kib * 1024 / 1e6


def growth(samples: list[float]) -> float:
    """The growth of equally spaced samples: the slope of the straight line through them, times its length.

    >>> growth([1.0, 2.0, 3.0, 4.0]), growth([4.0, 4.0]), growth([])
    (3.0, 0.0, 0.0)
    """
    middle = (len(samples) - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(len(samples)))
    slope = sum((i - middle) * value for i, value in enumerate(samples)) / spread if spread else 0.0
    return slope * max(0, len(samples) - 1)
