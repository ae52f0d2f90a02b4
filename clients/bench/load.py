"""When requests are sent: a number at a time, or a number per second."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from clients.bench.measure import Measurement
from clients.bench.workload import Question

Ask = Callable[[Question], Awaitable[Measurement]]


@dataclass(frozen=True, slots=True)
class Concurrency:
    """`clients` people, each sending the next request as soon as the last is answered."""

    clients: int

    def __str__(self) -> str:
        return f"{self.clients} at once"

    @property
    def level(self) -> float:
        return self.clients

    @property
    def default_requests(self) -> int:
        return max(16, 4 * self.clients)

    async def run(self, questions: Sequence[Question], ask: Ask) -> list[Measurement]:
        left = iter(questions)
        measured: list[Measurement] = []

        async def person() -> None:
            for question in left:
                measured.append(await ask(question))

        await asyncio.gather(*(person() for _ in range(self.clients)))
        return measured


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` requests a second on average, whether or not the earlier ones are answered.

    They form a Poisson process: the gaps are exponential, drawn from `seed`. A request is timed from when it is sent:
    if this program sends it late, that is not the server's fault and is recorded as `lag`.
    """

    per_second: float
    seed: int

    def __str__(self) -> str:
        return f"{self.per_second:g}/s"

    @property
    def level(self) -> float:
        return self.per_second

    @property
    def default_requests(self) -> int:
        return max(16, round(30 * self.per_second))

    async def run(self, questions: Sequence[Question], ask: Ask) -> list[Measurement]:
        arrivals = list(islice(poisson(self.per_second, self.seed), len(questions)))
        clock = asyncio.get_running_loop().time
        began = clock()

        async def person(question: Question, arrival: float) -> Measurement:
            await asyncio.sleep(began + arrival - clock())
            lag = max(0.0, clock() - began - arrival)
            measurement = await ask(question)
            measurement.lag = lag
            return measurement

        return await asyncio.gather(*(person(*pair) for pair in zip(questions, arrivals, strict=True)))


Load = Concurrency | Rate


def poisson(per_second: float, seed: int) -> Iterator[float]:
    """The times, in seconds from the start, of a Poisson process; the first is 0."""
    draw = random.Random(seed)
    at = 0.0
    while True:
        yield at
        at += draw.expovariate(per_second)
