"""What a container's limits leave, in every shape that Linux tells them in."""

from pathlib import Path

import pytest

from engine.cgroup import cores, free_bytes


def tree(root: Path, groups: str, files: dict[str, object]) -> Path:
    """A root with /proc/self/cgroup and files of /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("0::/", {"memory.max": 1000, "memory.current": 300}, 700),
        ("0::/", {"memory.max": "max", "memory.current": 300}, None),
        ("0::/", {}, None),
        ("", {"memory.max": 1000, "memory.current": 300}, None),
        ("0::/", {"memory.max": 1000, "memory.current": 1001}, 0),
        (
            "0::/",
            {"memory.max": 1000, "memory.current": 900, "memory.stat": "anon 100\ninactive_file 500\nactive_file 250"},
            850,
        ),
        (
            "0::/pod/one",
            {
                "pod/one/memory.max": "max", "pod/one/memory.current": 10,
                "pod/memory.max": 1000, "pod/memory.current": 900, "pod/memory.stat": "inactive_file 50",
            },
            150,
        ),
        (
            "0::/pod/one",
            {
                "pod/one/memory.max": 500, "pod/one/memory.current": 450,
                "pod/memory.max": 1000, "pod/memory.current": 500,
            },
            50,
        ),
        ("0::/../..", {"memory.max": 1000, "memory.current": 300}, 700),
        ("0::/docker/of-the-host", {"memory.max": 1000, "memory.current": 300}, 700),
        (
            "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n0::/docker/a\n",
            {
                "memory/memory.limit_in_bytes": 1000, "memory/memory.usage_in_bytes": 900,
                "memory/memory.stat": "inactive_file 7\nactive_file 3\ntotal_inactive_file 70\ntotal_active_file 30",
            },
            200,
        ),
        ("4:memory:/", {"memory/memory.limit_in_bytes": 2**63 - 4096, "memory/memory.usage_in_bytes": 0}, 2**63 - 4096),
        ("4:pids:/\n", {"memory/memory.limit_in_bytes": 1000, "memory/memory.usage_in_bytes": 0}, None),
    ],
)  # fmt: skip
def test_memory(groups: str, files: dict[str, object], free: int | None, tmp_path: Path) -> None:
    assert free_bytes(tree(tmp_path, groups, files)) == free


@pytest.mark.parametrize(
    ("groups", "files", "wanted"),
    [
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "250000 100000"}, 3),
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/", {}, None),
        ("0::/pod/one", {"pod/one/cpu.max": "max 100000", "pod/cpu.max": "400000 100000"}, 4),
        ("3:cpu,cpuacct:/docker/a", {"cpu/cpu.cfs_quota_us": 150000, "cpu/cpu.cfs_period_us": 100000}, 2),
        ("3:cpu,cpuacct:/docker/a", {"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}, None),
    ],
)
def test_cores(groups: str, files: dict[str, object], wanted: int | None, tmp_path: Path) -> None:
    assert cores(tree(tmp_path, groups, files)) == wanted


def test_elsewhere_there_are_no_control_groups(tmp_path: Path) -> None:
    assert (free_bytes(tmp_path), cores(tmp_path)) == (None, None)
