"""Plots the figures of `benchmarks.cpu`: decode by streams, decode by context, prefill by length."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cpu_results import CAROUSEL, Results
from benchmarks.peers.case import Case


def plot(results: Results, path: Path) -> None:
    """Draws a line per program, with the range over the rounds. The floor is what the memory's speed allows for
    Carousel's weights.

    Needs matplotlib. The file's ending sets its format.
    """
    from matplotlib import figure

    picture = figure.Figure(figsize=(13, 4), layout="constrained")
    streams, context, prefill = picture.subplots(1, 3)
    first = results.cases[0]
    together = [case for case in results.cases if case.prompt == first.prompt]
    alone = [case for case in results.cases if case.streams == 1]
    draw(streams, results, "decode", together, [case.streams for case in together])
    draw(context, results, "decode", alone, [case.prompt for case in alone])
    draw(prefill, results, "prefill", alone, [case.prompt for case in alone])
    streams.set(title=f"decode after {first.prompt} tokens", xlabel="streams")
    context.set(title="decode of one stream", xlabel="tokens before")
    prefill.set(title="prefill of one stream", xlabel="tokens")
    for axes in (streams, context, prefill):
        axes.set_ylabel("tokens/s, all streams")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    picture.legend(*streams.get_legend_handles_labels(), loc="outside right upper")
    picture.savefig(path)


def draw(axes: Any, results: Results, kind: str, cases: Sequence[Case], places: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [str(place) for place in places])
    for name, program in results.programs.items():
        values = [getattr(program, kind)[case.name] for case in cases]
        middle = [median(one) for one in values]
        axes.errorbar(
            places,
            middle,
            [
                [m - min(one) for m, one in zip(middle, values, strict=True)],
                [max(one) - m for m, one in zip(middle, values, strict=True)],
            ],
            fmt="o-",
            capsize=3,
            label=name,
        )
    if kind == "decode":
        program, speed = results.programs[CAROUSEL], median(results.read_speeds)
        floor = [case.streams * speed / program.floor_bytes[case.name] for case in cases]
        axes.plot(places, floor, "k--", alpha=0.5, label="memory's floor")
