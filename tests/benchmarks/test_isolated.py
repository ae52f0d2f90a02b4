"""Parts of a benchmark in processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from threading import Event

import pytest

from benchmarks import isolated
from benchmarks.isolated import (
    GRACE_SECONDS,
    Record,
    printed_by,
    records_of,
    run_parts,
    seconds_until,
    side_by_side,
    within,
)


def test_what_a_command_prints_comes_as_it_is_printed() -> None:
    records = printed_by(["sh", "-c", "echo loading; echo '{\"tokens\": 1}'; exec sleep 600"], 600)
    assert next(records) == {"tokens": 1}
    records.close()


def test_what_is_no_object_is_passed_over() -> None:
    lines = "{device: 0}", "{", "[1]", '{"tokens": 1}', "{'tokens': 2}"
    assert list(printed_by(["printf", "%s\\n", *lines], 600)) == [{"tokens": 1}]


def test_a_part_that_hangs_or_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(printed_by(["sleep", "600"], 0.01)) == [{"left_out": "what follows: ended after 0 seconds"}]
    assert list(printed_by(["sh", "-c", "kill -9 $$"], 600)) == [{"failed": "exit status -9"}]
    monkeypatch.setattr(isolated.sys, "executable", "/bin/false")
    assert list(records_of("benchmarks.gpu", [], 60)) == [{"failed": "exit status 1"}]


def test_records_end_with_their_time() -> None:
    assert list(within(0, iter([{"seconds": 1}, {"seconds": 2}]), what="decode")) == [
        {"what": "decode", "seconds": 1},
        {"what": "decode", "left_out": "what follows: 0 seconds are over"},
    ]


def test_records_of_several_processes_come_as_they_are_made() -> None:
    asked = Event()

    def slow() -> Iterator[Record]:
        yield {"tokens": 1}
        assert asked.wait(60)
        yield {"tokens": 2}

    records = side_by_side("model", {"20b": slow(), "120b": iter([])})
    assert next(records) == {"model": "20b", "tokens": 1}
    asked.set()
    assert list(records) == [{"model": "20b", "tokens": 2}]


def test_what_one_of_several_raises_is_raised_after_the_others() -> None:
    def failing() -> Iterator[Record]:
        yield {"tokens": 1}
        raise OSError("no process")

    records = side_by_side("model", {"20b": failing()})
    assert next(records) == {"model": "20b", "tokens": 1}
    with pytest.raises(OSError, match="no process"):
        next(records)


def test_the_start_of_a_process_is_of_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(isolated, "monotonic", lambda: 100.0)
    monkeypatch.setattr(isolated, "printed_by", lambda command, seconds: commands.append([*command, str(seconds)]))
    records_of("benchmarks.gpu", ["--part", "20b"], 50)
    assert commands[0][-3:] == ["--until", "150.0", str(50 + GRACE_SECONDS)]
    monkeypatch.setattr(isolated, "monotonic", lambda: 108.0)
    assert seconds_until(150.0) == 42.0


def test_the_import_of_torch_is_of_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = "from benchmarks import BEGAN; import sys; print(BEGAN > 0, 'torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", importing], text=True).split() == ["True", "False"]
    monkeypatch.setattr(isolated, "BEGAN", 100.0)
    monkeypatch.setattr(isolated, "monotonic", lambda: 130.0)
    assert isolated.minutes_left(9.5) == 9.0


def test_fewer_minutes_shorten_every_part_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the last one, which has what the others leave: here all of it."""
    given: dict[str, float] = {}

    def records(name: str, seconds: float) -> Iterator[Record]:
        given[name] = seconds
        return iter([{"seconds": seconds}])

    monkeypatch.setattr(isolated, "monotonic", lambda: 100.0)
    limits, minutes = {"errors": 200.0, "times": 100.0, "peer": 100.0, "unasked": 600.0}, (GRACE_SECONDS + 200) / 60
    names = "errors", "times", "peer"
    result, _ = run_parts(names, limits, minutes, records, commit="abc", smoke=False, output=None)
    assert given == pytest.approx({"errors": 100.0, "times": 50.0, "peer": 200.0})
    assert result["commit"] == "abc"


def test_an_exception_becomes_a_record() -> None:
    def failing() -> Iterator[Record]:
        yield {"seconds": 1}
        raise MemoryError("too much")

    assert list(within(60, failing())) == [{"seconds": 1}, {"failed": "MemoryError: too much"}]
