"""Times of a device's own clock."""

from dataclasses import dataclass, field

import pytest

from benchmarks import device
from benchmarks.device import SPAN_SECONDS, UNKNOWN, nvidia_smi, seconds_a_replay

REPLAY, LATENCY = 0.5, 3.0
"""Milliseconds: what a replay takes, and how long it is on its way to a device that has nothing to do."""


@dataclass
class Queue:
    """A device's: it does one thing after the other, and an event stands where it was put."""

    now: float = 0.0
    idle: bool = True
    replays: list[int] = field(default_factory=lambda: [0])
    """How many came before each event."""

    def replay(self) -> None:
        self.now += LATENCY * self.idle + REPLAY
        self.idle = False
        self.replays[-1] += 1


@dataclass
class Event:
    queue: Queue
    at: float = 0.0

    def record(self) -> None:
        self.at = self.queue.now
        self.queue.replays.append(0)

    def synchronize(self) -> None:
        self.queue.idle = True

    def elapsed_time(self, end: "Event") -> float:
        return end.at - self.at


def test_the_way_to_an_idle_device_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "WARMING_SECONDS", 0.0)
    queue = Queue()
    assert seconds_a_replay(queue.replay, lambda: Event(queue)) == pytest.approx(REPLAY / 1e3)  # type: ignore[arg-type]
    assert max(queue.replays) * REPLAY / 1e3 >= SPAN_SECONDS
    assert queue.replays.count(max(queue.replays)) == device.MOST_SPANS


def test_long_replays_are_timed_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "WARMING_SECONDS", 0.0)
    monkeypatch.setattr(device, "LONGEST_SECONDS", REPLAY / 1e3)
    monkeypatch.setattr(device, "SPAN_SECONDS", REPLAY / 1e3)
    queue = Queue()
    seconds_a_replay(queue.replay, lambda: Event(queue))  # type: ignore[arg-type]
    assert sum(queue.replays) == 2 + 1 + device.FEWEST_SPANS


def test_a_driver_that_does_not_answer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert nvidia_smi("driver_version") == UNKNOWN
