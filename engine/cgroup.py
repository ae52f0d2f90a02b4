"""The limits that Linux sets this process: those of its control groups, a container's among them. `root` holds /proc
and /sys; a limit that is missing or cannot be read does not count.

    v2    /sys/fs/cgroup/…           memory.max                memory.current              cpu.max
    v1    /sys/fs/cgroup/memory/…    memory.limit_in_bytes     memory.usage_in_bytes
          /sys/fs/cgroup/cpu/…       cpu.cfs_quota_us          cpu.cfs_period_us
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

ROOT = Path("/")
CACHED = frozenset({"active_file", "inactive_file", "total_active_file", "total_inactive_file"})
"""The lines of memory.stat that count file pages, which Linux reclaims when memory is needed. In v1, those that begin
with total_ include the child groups."""


def free_bytes(root: Path = ROOT) -> int | None:
    """Bytes that the process's groups may still allocate; None if nothing limits them."""
    free = []
    for folder in folders("memory", root):
        for most, current in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, in_use = read(folder / most), read(folder / current)
            if limit.isdigit() and in_use.isdigit():
                free.append(int(limit) - int(in_use) + cached_bytes(folder))
    return max(0, min(free)) if free else None


def cores(root: Path = ROOT) -> int | None:
    """Cores that the CPU quota amounts to, rounded up; None without a quota."""
    shares = []
    for folder in folders("cpu", root):
        quota, _, period = read(folder / "cpu.max").partition(" ")
        for busy, of in ((quota, period), (read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us"))):
            if busy.isdigit() and of.isdigit() and int(of) > 0:
                shares.append(int(busy) / int(of))
    return max(1, ceil(min(shares))) if shares else None


def folders(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the process's groups that limit `controller`: each group's own, then those that contain it. In a
    container, the paths may be the host's: folders that are missing limit nothing, and the container's own group is the
    outermost one."""
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
