"""Parts of a benchmark in processes of their own."""

from collections.abc import Iterator

import pytest

from benchmarks import isolated
from benchmarks.isolated import Record, printed_by, records_of, within


def test_what_a_command_prints_comes_as_it_is_printed() -> None:
    records = printed_by(["sh", "-c", "echo loading; echo '{\"tokens\": 1}'; exec sleep 600"], 600)
    assert next(records) == {"tokens": 1}
    records.close()


def test_a_part_that_hangs_or_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(printed_by(["sleep", "600"], 0.01)) == [{"left_out": "what follows: ended after 0 seconds"}]
    monkeypatch.setattr(isolated.sys, "executable", "/bin/false")
    assert list(records_of("benchmarks.gpu", [], 60)) == [{"failed": "exit status 1"}]


def test_records_end_with_their_time() -> None:
    assert list(within(0, iter([{"seconds": 1}, {"seconds": 2}]), what="decode")) == [
        {"what": "decode", "seconds": 1},
        {"what": "decode", "left_out": "what follows: 0 seconds are over"},
    ]


def test_an_exception_becomes_a_record() -> None:
    def failing() -> Iterator[Record]:
        yield {"seconds": 1}
        raise MemoryError("too much")

    assert list(within(60, failing())) == [{"seconds": 1}, {"failed": "MemoryError: too much"}]
