"""Times one request."""

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

    Token counts are the server's, None if it sends none. A failed request has an `error`. `lag` is how late the request
    was sent, None if it had no set time.
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
        """The gaps between chunks: between tokens, if the server sends every token in its own chunk."""
        return [after - before for before, after in pairwise(self.arrivals)]

    @property
    def time_per_output_token(self) -> float | None:
        """The mean from the first token on; None for fewer than two tokens, or if the server counted none."""
        if self.output_tokens is None or self.output_tokens < 2:
            return None
        return (self.arrivals[-1] - self.arrivals[0]) / (self.output_tokens - 1)

    @property
    def end_to_end(self) -> float:
        return self.ended - self.started


async def measure(client: AsyncCarousel, question: Question) -> Measurement:
    """Measures one request. A ClientError is not raised but becomes the measurement's `error`."""
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
