"""Plots the figures of `benchmarks.gpu`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Parts = Mapping[str, Sequence[Mapping[str, Any]]]
MODELS = "20b", "120b"
PEERS = "transformers", "llama.cpp"


def plot(parts: Parts, path: Path) -> str:
    """Plots decoding by requests and by context, and prompts by length, with dashed floors. Returns what it did."""
    try:
        from matplotlib import figure
    except ImportError:
        return "no plot: matplotlib is not installed"
    picture = figure.Figure(figsize=(13, 4), layout="constrained")
    requests, context, prefill = picture.subplots(1, 3)
    for model in MODELS:
        decode = measured(parts, model, "decode")
        if decode:
            shortest, fewest = (min(record[key] for record in decode) for key in ("context", "requests"))
            draw(requests, model, [r for r in decode if r["context"] == shortest], "requests")
            draw(context, model, [r for r in decode if r["requests"] == fewest], "context")
        draw(prefill, model, measured(parts, model, "prefill"), "tokens")
    for peer in PEERS:
        draw(requests, peer, measured(parts, peer, "decode"), "requests")
        draw(prefill, peer, measured(parts, peer, "prefill"), "tokens")
    for axes, title, label in (
        (requests, "decode, shortest context", "requests"),
        (context, "decode of one request", "tokens before"),
        (prefill, "prefill of one request", "tokens"),
    ):
        axes.set(title=title, xlabel=label, ylabel="tokens/s, all requests", xscale="log", yscale="log")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    picture.savefig(path)
    return f"plot: {path}"


def measured(parts: Parts, part: str, what: str) -> list[Mapping[str, Any]]:
    """The records of one kind that contain a figure."""
    return [r for r in parts.get(part, ()) if r.get("what") == what and "tokens_per_second" in r]


def draw(axes: Any, name: str, records: Sequence[Mapping[str, Any]], by: str) -> None:
    if not records:
        return
    records = sorted(records, key=lambda record: record[by])
    places = [record[by] for record in records]
    (line,) = axes.plot(places, [record["tokens_per_second"] for record in records], "o-", label=name)
    if "floor_tokens_per_second" in records[0]:
        floor = [record["floor_tokens_per_second"] for record in records]
        axes.plot(places, floor, "--", color=line.get_color(), alpha=0.5, label=f"{name}, floor")
