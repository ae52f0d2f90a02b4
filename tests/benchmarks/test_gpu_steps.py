"""Steps that are timed, on a tiny engine."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
import torch

from benchmarks import gpu_steps, stopwatch
from benchmarks.gpu_engine import start
from benchmarks.gpu_steps import Driver, StepFailedError
from benchmarks.gpu_workloads import SMOKE
from engine.errors import GenerationError


@pytest.fixture
def driver() -> Iterator[Driver]:
    started, _ = start(SMOKE, torch.device("cpu"), enforce_eager=False)
    driver = Driver(started.engine, SMOKE.model.vocab_size)
    yield driver
    driver.clear()
    assert driver.scheduler.idle


def fail(driver: Driver, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Lets launches of more than `most` requests fail."""
    launch = driver.engine.runner.launch

    def failing(tasks: Sequence[Any]) -> Any:
        if len(tasks) > most:
            raise RuntimeError("out of resources: shared memory")
        return launch(tasks)

    monkeypatch.setattr(driver.engine.runner, "launch", failing)


def test_a_launch_that_fails_is_no_figure_though_the_engine_makes_up_for_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.seat(3, 20)
    fail(driver, monkeypatch, most=2)
    with pytest.raises(StepFailedError, match="RuntimeError: out of resources"):
        driver.steps(3, 5)
    assert len(driver.scheduler.running) == 3


def test_a_prompt_whose_launch_fails_has_no_first_token(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(driver, monkeypatch, most=0)
    with pytest.raises(StepFailedError, match="out of resources"):
        driver.first_token(16)


def test_numbers_that_are_none_are_no_figure(driver: Driver) -> None:
    driver.engine.runner.model.embedding.fill_(torch.nan)
    driver.seat(2, 20)
    with pytest.raises(StepFailedError, match="not finite"):
        driver.steps(2, 5)
    with pytest.raises(StepFailedError, match="not finite"):
        driver.first_token(16)
    with pytest.raises(StepFailedError, match="not finite"):
        driver.seat(1, 20)
        for _ in range(3):
            driver.follow(12, 6)


def test_steps_without_a_token_for_each_request_are_no_figure(driver: Driver) -> None:
    driver.seat(1, 20)
    driver.seat(1, 20, max_tokens=6)
    with pytest.raises(StepFailedError, match="a step of 2 requests brought 1 tokens"):
        driver.steps(2, 5)


def test_a_prompt_that_never_runs_is_given_up(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_steps, "MOST_STEPS", 3)
    monkeypatch.setattr(driver.scheduler, "_admit", lambda: None)
    with pytest.raises(StepFailedError, match="no answer after 3 steps"):
        driver.first_token(16)


def test_every_wait_of_the_timed_steps_is_counted_and_no_other(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by one whenever it is read: twice by a wait, and once by a step."""
    clock = count()
    for module in gpu_steps, stopwatch:
        monkeypatch.setattr(module, "perf_counter", lambda: float(next(clock)))
    driver.seat(3, 20)
    times = driver.steps(3, 5)
    assert (times.median, times.mean) == (3.0, 3.0)
    assert times.host_share == pytest.approx(1 - 1 / 3)
    assert driver.engine.runner.launch.__func__ is type(driver.engine.runner).launch  # type: ignore[attr-defined]


def test_where_it_failed_is_told(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what failed first: the check that comes after it may, too."""

    def launch(tasks: object) -> None:
        raise ValueError("a wait")

    def check() -> None:
        raise RuntimeError("another")

    driver.seat(1, 20)
    monkeypatch.setattr(driver.engine.runner, "launch", launch)
    monkeypatch.setattr(driver.engine.runner, "check", check)
    with pytest.raises(RuntimeError, match="another"):
        driver.step()
    assert driver.failed_at.endswith("ValueError: a wait\n")
    assert "in launch" in driver.failed_at


def test_after_a_failure_the_next_steps_count(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    driver._failure, driver.failed_at = GenerationError("before"), "there"
    with pytest.raises(StepFailedError, match="before"):
        driver.step()
    driver.clear()
    driver.seat(2, 20)
    assert driver.steps(2, 5).median > 0
    assert not driver.failed_at
