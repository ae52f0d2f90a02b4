"""Results as a picture: times and throughput over the load."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from clients.bench.load import Concurrency
from clients.bench.report import Point
from clients.bench.statistics import Percentiles, Statistics
from clients.errors import UsageError

PERCENTILES = ("p50", "p90", "p99")


def matplotlib_figure() -> ModuleType:
    """Raises UsageError if matplotlib, an extra, is not installed."""
    try:
        from matplotlib import figure
    except ImportError as error:
        raise UsageError("a plot needs matplotlib: pip install 'carousel-llm[bench]'") from error
    return figure


def check_format(path: Path) -> None:
    """Raises UsageError if the name does not end in a picture format."""
    formats = matplotlib_figure().Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise UsageError(f"cannot write {path}: a picture's name ends in one of {', '.join(sorted(formats))}")


def plot(points: Sequence[Point], title: str, path: Path) -> None:
    """Writes the picture in the format of the name's ending (png, svg, pdf). Raises UsageError."""
    picture = matplotlib_figure().Figure(figsize=(13, 4), layout="constrained")
    picture.suptitle(title)
    first, between, throughput = picture.subplots(1, 3)
    levels = [point.load.level for point in points]
    _times(first, points, "time to first token", lambda one: one.time_to_first_token)
    _times(between, points, "inter-token latency", lambda one: one.inter_token_latency)
    throughput.plot(levels, [point.statistics.output_tokens_per_second for point in points], "o-", label="output")
    throughput.plot(levels, [point.statistics.total_tokens_per_second for point in points], "o-", label="total")
    throughput.set(title="throughput", ylabel="tokens/s")
    for axes in (first, between, throughput):
        axes.set_xlabel("requests at once" if isinstance(points[0].load, Concurrency) else "requests/s")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    try:
        picture.savefig(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {error}") from error


def _times(axes: Any, points: Sequence[Point], title: str, of: Callable[[Statistics], Percentiles | None]) -> None:
    """Draws a line per percentile, in milliseconds, leaving out loads without a value."""
    known = [(point.load.level, value) for point in points if (value := of(point.statistics)) is not None]
    for name in PERCENTILES:
        axes.plot([level for level, _ in known], [1000 * getattr(value, name) for _, value in known], "o-", label=name)
    axes.set(title=title, ylabel="ms")
