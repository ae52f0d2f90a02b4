"""One request under the clock."""

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise

from clients.bench.workload import Question
from clients.client import AsyncCarousel
from clients.errors import ClientError
from clients.results import Usage


@dataclass(slots=True)
class Measurement:
    """Times are in seconds of one clock; `arrivals` are those of the chunks that brought text or reasoning.

    Tokens are as the server counts them, None where it does not. A request that failed has an `error`. `lag` is how
    long after its time it was sent, None where it had none.
    """

    started: float
    arrivals: list[float] = field(default_factory=list)
    ended: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None
    lag: float | None = None

    @property
    def time_to_first_token(self) -> float:
        return self.arrivals[0] - self.started

    @property
    def inter_token_latencies(self) -> list[float]:
        """The gaps between chunks: between tokens, where the server sends each token as it comes."""
        return [after - before for before, after in pairwise(self.arrivals)]

    @property
    def time_per_output_token(self) -> float | None:
        """From the first token on, on average; None where there was but one, or none was counted."""
        if self.output_tokens is None or self.output_tokens < 2:
            return None
        return (self.arrivals[-1] - self.arrivals[0]) / (self.output_tokens - 1)

    @property
    def end_to_end(self) -> float:
        return self.ended - self.started


async def measure(client: AsyncCarousel, question: Question) -> Measurement:
    """Raises nothing of the client's: a failure is a measurement too."""
    measurement = Measurement(started=time.perf_counter())
    usage: Usage | None = None
    try:
        async with aclosing(question.stream(client)) as deltas:
            async for delta in deltas:
                if delta.text or delta.reasoning or delta.tool_calls:
                    measurement.arrivals.append(time.perf_counter())
                usage = delta.usage or usage
    except ClientError as error:
        measurement.error = f"{type(error).__name__}: {error}"
    measurement.ended = time.perf_counter()
    if measurement.error is None and not measurement.arrivals:
        measurement.error = "the answer was empty"
    if usage is not None:
        measurement.input_tokens = usage.prompt_tokens
        measurement.output_tokens = usage.completion_tokens
    return measurement
