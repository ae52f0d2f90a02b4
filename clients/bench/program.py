"""A benchmark from its first request to its report."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clients.bench.environment import environment
from clients.bench.load import Concurrency, Load
from clients.bench.measure import Measurement, measure
from clients.bench.plot import check_format, plot
from clients.bench.report import Point, document, tables
from clients.bench.statistics import summarize
from clients.bench.workload import Question, from_file, synthetic
from clients.client import AsyncCarousel
from clients.errors import UsageError
from clients.retries import NO_RETRIES

LATE = 0.01
"""Seconds. The report warns of a p99 of the requests' lag above it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. With a `dataset`, `input_len`, `vocab_size` and `ignore_eos` are ignored."""

    loads: Sequence[Load]
    model: str | None
    num_prompts: int | None
    warmup: int
    input_len: int
    output_len: int
    vocab_size: int
    ignore_eos: bool
    dataset: Path | None
    seed: int

    def questions(self, model: str) -> Iterator[Question]:
        """Endless. Raises UsageError."""
        if self.dataset is not None:
            return from_file(self.dataset, output_len=self.output_len, model=model, seed=self.seed)
        return synthetic(
            input_len=self.input_len,
            output_len=self.output_len,
            vocab_size=self.vocab_size,
            ignore_eos=self.ignore_eos,
            model=model,
            seed=self.seed,
        )

    def settings(self) -> dict[str, Any]:
        """For the report."""
        length = {"output_len": self.output_len, "seed": self.seed, "warmup": self.warmup}
        if self.dataset is not None:
            return {"dataset": self.dataset.name, **length}
        return {
            "input_len": self.input_len,
            "vocab_size": self.vocab_size,
            "ignore_eos": self.ignore_eos,
            **length,
        }


async def bench(plan: Plan, url: str, api_key: str | None, *, output: Path | None, picture: Path | None) -> None:
    """Measures, prints the tables and writes the files. If interrupted, reports the loads that were measured. Raises
    ClientError, also if no request succeeded."""
    if picture is not None:
        check_format(picture)
    for path in filter(None, (output, picture)):
        check_writable(path)
    async with AsyncCarousel(url, api_key=api_key, retries=NO_RETRIES) as client:
        model = plan.model or await only_model(client)
        about = await environment(client, model)
        points: list[Point] = []
        try:
            await sweep(client, plan, model, points)
        finally:
            if points:
                report(points, plan, model, about, output=output, picture=picture)
    if all(point.statistics.failed == point.statistics.requests for point in points):
        raise UsageError("no request succeeded")


def report(
    points: Sequence[Point], plan: Plan, model: str, about: Any, *, output: Path | None, picture: Path | None
) -> None:
    """Prints the tables, errors and warnings, and writes the files."""
    console = Console()
    console.print(*tables(points), sep="")
    for point in points:
        for error, times in point.statistics.errors.items():
            console.print(f"{point.load}: {times} × {error}", style="red", markup=False, highlight=False)
        if (lag := point.statistics.lag) is not None and lag.p99 > LATE:
            late = f"{point.load}: sent {1000 * lag.p99:,.0f} ms late (p99): this machine is too slow for the load"
            console.print(late, style="yellow", highlight=False)
    if any(point.statistics.output_tokens is None for point in points):
        console.print("token counts are unknown: the server sent answers without them (usage)", style="yellow")
    if output is not None:
        write_json(output, document(points, about, plan.settings()))
    if picture is not None:
        plot(points, title(model, plan.settings()), picture)


def check_writable(path: Path) -> None:
    """Raises UsageError if the file cannot be written, before anything is measured."""
    is_new = not path.exists()
    with clear_writing(path):
        path.open("a").close()
        if is_new:
            path.unlink()


@contextmanager
def clear_writing(path: Path) -> Iterator[None]:
    """Turns the system's errors about a file into UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


async def only_model(client: AsyncCarousel) -> str:
    """The server's first model. Raises UsageError if there is none."""
    for model in await client.models():
        return model.id
    raise UsageError("the server lists no model: name one with --model")


async def sweep(client: AsyncCarousel, plan: Plan, model: str, points: list[Point]) -> None:
    """Runs the warm-up, then every load in turn, and adds each load's results to `points`."""
    questions = plan.questions(model)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        async def measured(load: Load, count: int, name: str) -> list[Measurement]:
            task = progress.add_task(name, total=count)

            async def ask(question: Question) -> Measurement:
                measurement = await measure(client, question)
                progress.advance(task)
                return measurement

            return await load.run(list(islice(questions, count)), ask)

        if plan.warmup:
            await measured(Concurrency(plan.warmup), plan.warmup, "warm-up")
        for load in plan.loads:
            count = plan.num_prompts or load.default_requests
            points.append(Point(load, summarize(await measured(load, count, str(load)))))


def title(model: str, settings: Mapping[str, Any]) -> str:
    """
    >>> title("tiny", {"input_len": 64, "ignore_eos": True})
    'tiny: input_len 64, ignore_eos True'
    """
    return f"{model}: " + ", ".join(f"{name} {value}" for name, value in settings.items())


def write_json(path: Path, content: Any) -> None:
    """Raises UsageError."""
    with clear_writing(path):
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
