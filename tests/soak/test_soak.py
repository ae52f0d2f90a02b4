"""The soak's 90 seconds, and that it finds what it is there to find."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.phase import Settings, Watch, report
from tests.soak.tally import Tally

ROOT = Path(__file__).parent.parent.parent
LIMIT_SECONDS = 400


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.soak", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS)


def test_the_90_seconds_tier() -> None:
    result = soak("90s")
    assert result.returncode == 0, result.stdout + result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["hash", "real"]


@pytest.mark.parametrize(
    ("bug", "gate"),
    [
        ("leaked-page", "leaks 0"),
        ("skipped-free", "leaks 0"),
        ("ring-off-by-one", "token mismatches 0"),
        ("dropped-chunk", "token mismatches 0"),
    ],
)
def test_a_planted_bug_is_found(bug: str, gate: str) -> None:
    result = soak("--model", "hash", "--seconds", "120", "--kills", "0", "--plant", bug, "--until-caught")
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"FAILED: {gate}" in result.stdout


def watched(tmp_path: Path, **counts: int) -> Watch:
    """What a run of a few requests leaves, of which `counts` differ."""
    tally = Tally()
    tally.counts.update({"sent": 4, "completed": 2, "aborted": 1, "rejected": 1} | counts)
    return Watch("", 0, None, tmp_path / "audit", tally, memory=[(float(second), 100.0) for second in range(40)])  # type: ignore[arg-type]


def test_all_gates_hold_for_a_run_without_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("hash", Settings(seconds=1), watched(tmp_path))
    assert "4 sent = 2 completed + 1 aborted + 1 rejected + 0 errored" in capsys.readouterr().out


@pytest.mark.parametrize(
    "counts", [{"sent": 5}, {"completed": 3}, {"token mismatches": 1}, {"unforgiven errors": 1}, {"left behind": 1}]
)
def test_each_gate_fails_by_itself(tmp_path: Path, counts: dict[str, int]) -> None:
    assert not report("hash", Settings(seconds=1), watched(tmp_path, **counts))


def test_growing_memory_fails_in_the_second_half_only(tmp_path: Path) -> None:
    watch = watched(tmp_path)
    watch.memory[:20] = [(float(second), 5.0 * second) for second in range(20)]
    assert report("hash", Settings(seconds=1), watch)
    watch.memory[20:] = [(float(second), 2.0 * second) for second in range(20, 40)]
    assert not report("hash", Settings(seconds=1), watch)
    watch.tally.last_kill_over = 35.0
    assert report("hash", Settings(seconds=1), watch)


def test_an_error_is_forgiven_only_around_a_kill() -> None:
    tally = Tally()
    began = tally.sending()
    tally.kill_under_way = True
    tally.errored(began, "the engine was killed")
    tally.last_kill_over, tally.kill_under_way = tally.now(), False
    tally.errored(began, "began before")
    assert not tally.counts["unforgiven errors"]
    tally.errored(tally.sending(), "began after")
    assert tally.counts["unforgiven errors"] == 1
