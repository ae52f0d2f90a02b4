"""How long a request that finds no room is told to wait."""

import pytest

from engine.process.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def run(pace: Pace, clock: Clock, name: str, *, queue_seconds: float, seconds: float) -> None:
    """One request from its arrival to its end."""
    pace.submit(name)
    clock.now += queue_seconds
    pace.begin(name, queue_seconds)
    clock.now += seconds
    pace.end(name)


def wait(pace: Pace, count: int) -> None:
    for number in range(count):
        pace.submit(f"waiting {number}")


def test_while_nothing_is_known_it_is_a_second(clock: Clock) -> None:
    pace = Pace(clock)
    wait(pace, 24)
    assert pace.retry_seconds(8) == 1


def test_the_example(clock: Clock) -> None:
    """Waiting in the queue is no time of the slot's."""
    pace = Pace(clock)
    run(pace, clock, "a", queue_seconds=100, seconds=16)
    run(pace, clock, "b", queue_seconds=0, seconds=8)
    wait(pace, 8 + 16)
    assert pace.retry_seconds(8) == 26  # 17 · 12 / 8 = 25.5


def test_one_that_ends_before_its_turn_says_nothing(clock: Clock) -> None:
    pace = Pace(clock)
    pace.submit("left")
    clock.now += 50
    pace.end("left")
    pace.end("left")
    assert pace.retry_seconds(1) == 1
    run(pace, clock, "a", queue_seconds=0, seconds=30)
    assert pace.retry_seconds(1) == 30


@pytest.mark.parametrize(("seconds", "told"), [(0.001, 1), (1e6, 60)])
def test_it_has_bounds(clock: Clock, seconds: float, told: int) -> None:
    pace = Pace(clock)
    run(pace, clock, "a", queue_seconds=0, seconds=seconds)
    assert pace.retry_seconds(2) == told


def test_what_is_long_ago_is_forgotten(clock: Clock) -> None:
    pace = Pace(clock)
    run(pace, clock, "slow", queue_seconds=0, seconds=1000)
    for number in range(64):
        run(pace, clock, str(number), queue_seconds=0, seconds=2)
    assert pace.retry_seconds(1) == 2
