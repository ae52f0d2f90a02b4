"""Requests come as they should."""

import asyncio
import time
from itertools import islice, pairwise

import pytest

from clients.bench.load import Concurrency, Rate, poisson
from clients.bench.measure import Measurement


class Crowd:
    """Answers after a few turns of the event loop, and watches how many ask at once."""

    def __init__(self) -> None:
        self.asking = self.most = 0
        self.asked: list[int] = []

    async def ask(self, question: int) -> Measurement:
        self.asked.append(question)
        self.asking += 1
        self.most = max(self.most, self.asking)
        for _ in range(5):
            await asyncio.sleep(0)
        self.asking -= 1
        return Measurement(started=float(question))


@pytest.mark.parametrize("clients", [1, 3, 20])
async def test_so_many_at_once(clients: int) -> None:
    crowd = Crowd()
    measured = await Concurrency(clients).run(range(10), crowd.ask)
    assert crowd.most == min(clients, 10)
    assert sorted(crowd.asked) == list(range(10))
    assert sorted(one.started for one in measured) == list(range(10))


async def test_a_rate_does_not_wait_for_answers() -> None:
    crowd = Crowd()
    measured = await Rate(1e6, seed=0).run(range(10), crowd.ask)
    assert crowd.most > 1
    assert [one.started for one in measured] == list(range(10))


async def test_what_the_program_itself_is_late_is_known() -> None:
    async def ask(question: int) -> Measurement:
        time.sleep(0.02)  # noqa: ASYNC251  As a program without processors does.
        return Measurement(started=0.0)

    first, second, third = [one.lag for one in await Rate(1e6, seed=0).run(range(3), ask)]
    assert 0 <= first < second - 0.015 < third - 0.03
    (alone,) = await Concurrency(1).run(range(1), ask)
    assert alone.lag is None


def test_poisson() -> None:
    times = list(islice(poisson(4.0, seed=1), 20_001))
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    assert times[0] == 0
    assert mean == pytest.approx(0.25, rel=0.03)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02), "exponential: 1/e"
    assert list(islice(poisson(4.0, seed=1), 9)) == times[:9]


def test_names_and_sizes() -> None:
    assert (str(Concurrency(4)), str(Rate(0.5, seed=0))) == ("4 at once", "0.5/s")
    assert (Concurrency(1).default_requests, Concurrency(100).default_requests) == (16, 400)
    assert (Rate(0.1, 0).default_requests, Rate(2, 0).default_requests) == (16, 60)
