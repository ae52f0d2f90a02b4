"""What Linux lets this process have: the limits of its control groups, which a container is. `root` is where /proc and
/sys lie; a limit that is not there, or cannot be read, is none.

    v2    /sys/fs/cgroup/…           memory.max                memory.current              cpu.max
    v1    /sys/fs/cgroup/memory/…    memory.limit_in_bytes     memory.usage_in_bytes
          /sys/fs/cgroup/cpu/…       cpu.cfs_quota_us          cpu.cfs_period_us
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

ROOT = Path("/")
CACHED = frozenset({"active_file", "inactive_file", "total_active_file", "total_inactive_file"})
"""The lines of memory.stat that count files' pages, in v1 with those of the groups within: Linux gives them up when
memory is wanted."""


def free_bytes(root: Path = ROOT) -> int | None:
    """Memory that the process' groups may still take; None where nothing limits them."""
    free = []
    for folder in folders("memory", root):
        for most, current in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, in_use = read(folder / most), read(folder / current)
            if limit.isdigit() and in_use.isdigit():
                free.append(int(limit) - int(in_use) + cached_bytes(folder))
    return max(0, min(free)) if free else None


def cores(root: Path = ROOT) -> int | None:
    """How many cores keep the process' groups as busy as their quota lets them be; None where they have none."""
    shares = []
    for folder in folders("cpu", root):
        quota, _, period = read(folder / "cpu.max").partition(" ")
        for busy, of in ((quota, period), (read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us"))):
            if busy.isdigit() and of.isdigit() and int(of) > 0:
                shares.append(int(busy) / int(of))
    return max(1, ceil(min(shares))) if shares else None


def folders(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the process' groups that limit `controller`, each one's and those that it lies in. In a container,
    where paths may be the host's, what is not there limits nothing: its own group is then the outermost."""
    for line in read(root / "proc/self/cgroup").splitlines():
        _, _, group = line.partition(":")
        controllers, _, path = group.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        names = [name for name in path.split("/") if name not in ("", "..")]
        yield from (mount.joinpath(*names[:depth]) for depth in range(len(names), -1, -1))


def cached_bytes(folder: Path) -> int:
    lines = (line.partition(" ") for line in read(folder / "memory.stat").splitlines())
    found = {name: int(count) for name, _, count in lines if name in CACHED}
    totals = [count for name, count in found.items() if name.startswith("total_")]
    return sum(totals or found.values())


def read(file: Path) -> str:
    """The file's text; "" if it cannot be read."""
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""
