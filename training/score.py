"""Asks a running server held-out questions of every kind and scores it: `python -m training.score --help`.

    carousel serve embedded &
    python -m training.score --output scores.json

The questions come from seeds, phrasings, names, words and pairs of numbers that are never trained on.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from training.corpus import KINDS
from training.draw import Draw
from training.exchange import Exchange
from training.judge import JUDGES, is_grammatical
from training.stories import story

COMPLETION = "completion"
TARGETS = dict.fromkeys(("talk", "arithmetic", "facts", "tools", "json"), 0.95) | dict.fromkeys(
    ("text", "memory", COMPLETION), 0.90
)
TEMPERATURES = (0.0, 0.7)
DATE = "2026-01-31"
MAX_TOKENS = 700
OPENING_WORDS = 9
MAX_CALLS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reasoning` is the length of the analysis in characters."""

    kind: str
    temperature: float
    question: str
    expected: str
    said: str
    right: bool
    effort: str
    reasoning: int


class Asker:
    """A client of a server's OpenAI endpoints."""

    def __init__(self, http: httpx.AsyncClient, model: str, temperature: float, at_once: asyncio.Semaphore) -> None:
        self._http, self._model, self._temperature, self._at_once = http, model, temperature, at_once

    async def _post(self, path: str, body: Mapping[str, Any], seed: int) -> dict[str, Any]:
        common = {"model": self._model, "temperature": self._temperature, "seed": seed, "max_tokens": MAX_TOKENS}
        async with self._at_once:
            response = await self._http.post(path, json={**common, **body})
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    async def chat(self, kind: str, exchange: Exchange, seed: int) -> Outcome:
        """Runs a conversation to its final message; a right call gets its result."""
        body: dict[str, Any] = {"reasoning_effort": exchange.effort, "current_date": DATE}
        messages: list[dict[str, Any]] = []
        if exchange.instructions:
            messages.append({"role": "developer", "content": exchange.instructions})
        for question, answer in exchange.history:
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        messages.append({"role": "user", "content": exchange.question})
        if exchange.tools:
            body["tools"] = exchange.tools
        if exchange.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": exchange.schema}
        right, thought, said = True, 0, ""
        for number in range(MAX_CALLS):
            answered = await self._post("/v1/chat/completions", {**body, "messages": messages}, seed)
            message = answered["choices"][0]["message"]
            thought += len(message.get("reasoning") or "")
            calls = message.get("tool_calls") or []
            if not calls:
                said += message["content"] or ""
                break
            said += f"[{calls[0]['function']['name']} {calls[0]['function']['arguments']}] "
            if number >= len(exchange.calls) or len(calls) > 1 or not is_call(calls[0], exchange, number):
                right = False
                break
            messages += [
                message,
                {"role": "tool", "tool_call_id": calls[0]["id"], "content": exchange.calls[number].result},
            ]
        else:
            right = False
        if kind == "tools" and right:
            made = said.count("[")
            right = made == len(exchange.calls) and (not exchange.calls or JUDGES[kind](exchange.expected, said))
        elif right:
            right = JUDGES[kind](exchange.expected, said)
        return Outcome(
            kind, self._temperature, exchange.question, exchange.expected, said, right, exchange.effort, thought
        )

    async def complete(self, seed: int) -> Outcome:
        """Has the first words of a story continued."""
        opening = " ".join(story(Draw(f"score/{seed}", held_out=True).rng).split()[:OPENING_WORDS])
        answered = await self._post("/v1/completions", {"prompt": opening, "max_tokens": 80}, seed)
        said = answered["choices"][0]["text"]
        right = is_grammatical(opening, said)
        return Outcome(COMPLETION, self._temperature, opening, "", said, right, "", 0)


def is_call(call: Mapping[str, Any], exchange: Exchange, number: int) -> bool:
    wanted = exchange.calls[number]
    try:
        arguments = json.loads(call["function"]["arguments"])
    except ValueError:
        return False
    return bool(call["function"]["name"] == wanted.name and arguments == wanted.arguments)


async def ask_all(
    url: str, model: str, count: int, kinds: list[str], progress: Progress, at_once: int
) -> list[Outcome]:
    """Asks `count` questions of each kind at each temperature."""
    gate = asyncio.Semaphore(at_once)
    task = progress.add_task("asking", total=count * len(kinds) * len(TEMPERATURES))
    async with httpx.AsyncClient(base_url=url, timeout=None) as http:

        async def one(kind: str, temperature: float, number: int) -> Outcome:
            asker = Asker(http, model, temperature, gate)
            if kind == COMPLETION:
                outcome = await asker.complete(number)
            else:
                exchange = KINDS[kind](Draw(f"score/{number}", held_out=True))
                outcome = await asker.chat(kind, exchange, number)
            progress.advance(task)
            return outcome

        asked = [one(kind, t, number) for kind in kinds for t in TEMPERATURES for number in range(count)]
        return list(await asyncio.gather(*asked))


def summarise(outcomes: list[Outcome]) -> dict[str, dict[str, float]]:
    """The share of right answers by kind and temperature."""
    groups: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        groups[outcome.kind][str(outcome.temperature)].append(outcome.right)
    return {kind: {t: sum(right) / len(right) for t, right in by.items()} for kind, by in groups.items()}


def reasoning_lengths(outcomes: list[Outcome]) -> dict[str, float]:
    """Mean characters of analysis in arithmetic, by effort."""
    lengths: dict[str, list[int]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.kind == "arithmetic":
            lengths[outcome.effort].append(outcome.reasoning)
    return {effort: sum(each) / len(each) for effort, each in lengths.items()}


def table_of(scores: Mapping[str, Mapping[str, float]], count: int) -> Table:
    table = Table(
        "kind", "target", *(f"temperature {t:g}" for t in TEMPERATURES), title=f"{count} held-out prompts each"
    )
    for kind, by in scores.items():
        cells = [f"{by[str(t)]:.0%}" for t in TEMPERATURES]
        styled = [
            f"[{'green' if by[str(t)] >= TARGETS[kind] else 'red'}]{c}"
            for t, c in zip(TEMPERATURES, cells, strict=True)
        ]
        table.add_row(kind, f"{TARGETS[kind]:.0%}", *styled)
    return table


def main(
    url: Annotated[str, typer.Option(help="The server's address.")] = "http://127.0.0.1:8000",
    model: Annotated[str, typer.Option(help="The model's name on the server.")] = "embedded",
    count: Annotated[int, typer.Option(help="Prompts per kind and temperature.")] = 300,
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds.")] = None,
    at_once: Annotated[int, typer.Option(help="Concurrent requests.")] = 8,
    output: Annotated[Path | None, typer.Option(help="Write every answer and the scores as JSON.")] = None,
) -> None:
    """Scores a served model."""
    console = Console()
    with Progress(console=console) as progress:
        outcomes = asyncio.run(ask_all(url, model, count, kind or list(TARGETS), progress, at_once))
    scores, reasoning = summarise(outcomes), reasoning_lengths(outcomes)
    console.print(table_of(scores, count))
    if reasoning:
        console.print("analysis in arithmetic, characters:", ", ".join(f"{e} {n:.0f}" for e, n in reasoning.items()))
    if output is not None:
        content = {
            "count": count,
            "scores": scores,
            "reasoning": reasoning,
            "outcomes": [{name: getattr(each, name) for name in Outcome.__slots__} for each in outcomes],
        }
        output.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
