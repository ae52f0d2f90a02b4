"""Statistics of one load's measurements."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from clients.bench.measure import Measurement


@dataclass(frozen=True, slots=True)
class Percentiles:
    """In seconds."""

    mean: float
    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Percentiles | None":
        """Interpolates between the two nearest ranks, as numpy does by default. Returns None if there are no values.

        >>> Percentiles.of([1.0, 2.0, 3.0, 4.0])
        Percentiles(mean=2.5, p50=2.5, p90=3.7, p99=3.97)
        """
        known = list(values)
        if not known:
            return None
        cuts = quantiles(known, n=100, method="inclusive") if len(known) > 1 else 99 * known
        return cls(fmean(known), cuts[49], cuts[89], cuts[98])


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of the requests that succeeded. Rates are over `seconds`, from the first request's start to the last one's end.

    `inter_token_latency` is between the chunks of a stream, `time_per_output_token` each request's mean. Tokens are
    None unless the server counted those of every request. `lag` is of all requests, and this program's own delay.
    """

    requests: int
    errors: dict[str, int]
    seconds: float
    input_tokens: int | None
    output_tokens: int | None
    time_to_first_token: Percentiles | None
    inter_token_latency: Percentiles | None
    time_per_output_token: Percentiles | None
    end_to_end: Percentiles | None
    lag: Percentiles | None

    @property
    def requests_per_second(self) -> float:
        return (self.requests - self.failed) / self.seconds

    @property
    def output_tokens_per_second(self) -> float | None:
        return None if self.output_tokens is None else self.output_tokens / self.seconds

    @property
    def total_tokens_per_second(self) -> float | None:
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return (self.input_tokens + self.output_tokens) / self.seconds

    @property
    def failed(self) -> int:
        return sum(self.errors.values())


def summarize(measured: Sequence[Measurement]) -> Statistics:
    """Takes at least one measurement."""
    good = [one for one in measured if one.error is None]
    per_token = [one.time_per_output_token for one in good]
    return Statistics(
        requests=len(measured),
        errors=dict(Counter(one.error for one in measured if one.error is not None)),
        seconds=max(one.ended for one in measured) - min(one.started for one in measured),
        input_tokens=total(one.input_tokens for one in good),
        output_tokens=total(one.output_tokens for one in good),
        time_to_first_token=Percentiles.of(one.time_to_first_token for one in good),
        inter_token_latency=Percentiles.of(gap for one in good for gap in one.inter_token_latencies),
        time_per_output_token=Percentiles.of(value for value in per_token if value is not None),
        end_to_end=Percentiles.of(one.end_to_end for one in good),
        lag=Percentiles.of(one.lag for one in measured if one.lag is not None),
    )


def total(counts: Iterable[int | None]) -> int | None:
    """
    >>> total([3, 4]), total([3, None])
    (7, None)
    """
    whole = 0
    for count in counts:
        if count is None:
            return None
        whole += count
    return whole
