"""Results as tables and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from clients.bench.load import Concurrency, Load
from clients.bench.statistics import Percentiles, Statistics


@dataclass(frozen=True, slots=True)
class Point:
    """The results of one load."""

    load: Load
    statistics: Statistics


def tables(points: Sequence[Point]) -> list[Table]:
    """Times, then throughput; one row per load."""
    times = _table("time to first token", "inter-token latency", "end to end")
    times.caption = "ms: p50 / p90 / p99"
    throughput = _table("output tokens/s", "total tokens/s", "requests/s", "errors")
    for point in points:
        one = point.statistics
        times.add_row(
            str(point.load),
            milliseconds(one.time_to_first_token),
            milliseconds(one.inter_token_latency),
            milliseconds(one.end_to_end),
        )
        throughput.add_row(
            str(point.load),
            rate(one.output_tokens_per_second),
            rate(one.total_tokens_per_second),
            f"{one.requests_per_second:,.2f}",
            f"[red]{one.failed}[/red]" if one.failed else "0",
        )
    return [times, throughput]


def _table(*columns: str) -> Table:
    table = Table("load", box=box.SIMPLE_HEAD, caption_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def milliseconds(of: Percentiles | None) -> str:
    """
    >>> milliseconds(Percentiles(mean=1.0, p50=0.0123, p90=0.4567, p99=12.3456))
    '12.3 / 457 / 12,346'
    """
    if of is None:
        return "–"
    values = [1000 * value for value in (of.p50, of.p90, of.p99)]
    return " / ".join(f"{value:.1f}" if value < 100 else f"{value:,.0f}" for value in values)


def rate(per_second: float | None) -> str:
    """
    >>> rate(1234.56), rate(None)
    ('1,234.6', '–')
    """
    return "–" if per_second is None else f"{per_second:,.1f}"


def document(points: Sequence[Point], environment: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """All results as JSON data. Times are in seconds, rates per second; unknown values are null."""
    return {
        "environment": dict(environment),
        "settings": dict(settings),
        "points": [_point(point) for point in points],
    }


def _point(point: Point) -> dict[str, Any]:
    one = point.statistics
    return {
        "concurrency" if isinstance(point.load, Concurrency) else "request_rate": point.load.level,
        **asdict(one),
        "requests_per_second": one.requests_per_second,
        "output_tokens_per_second": one.output_tokens_per_second,
        "total_tokens_per_second": one.total_tokens_per_second,
    }
