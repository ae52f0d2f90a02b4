"""The requests of the soak, drawn once from a seed, each with the answer that it gets when it runs alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from engine.prompt.detokenizer import Detokenizer
from engine.prompt.stop_strings import StopStrings
from engine.prompt.tokenizer import Tokenizer
from engine.request import SamplingParams
from tests.soak.models import Written

Kind = Literal["plain", "stop", "several", "logprobs"]
CARDS: dict[Kind, int] = {"plain": 24, "stop": 6, "several": 6, "logprobs": 6}
LETTERS = "abcdefghijklmnopqrstuvwxyz ,."


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer; `logprobs` is empty if none were asked for."""

    text: str
    finish_reason: str | None
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A request's body, and its choices."""

    body: dict[str, Any]
    answer: tuple[Choice, ...]


Deck = dict[Kind, list[Card]]


def draw_deck(tokenizer: Tokenizer, write: Callable[[Sequence[int], SamplingParams], Written], seed: int) -> Deck:
    """`write` gives a request's output when it runs alone."""
    random = Random(seed)
    deck: Deck = {}
    for kind, count in CARDS.items():
        deck[kind] = [card(kind, random, tokenizer, write) for _ in range(count)]
    return deck


def card(
    kind: Kind, random: Random, tokenizer: Tokenizer, write: Callable[[Sequence[int], SamplingParams], Written]
) -> Card:
    body: dict[str, Any] = {
        "prompt": "".join(random.choices(LETTERS, k=random.choice((1, 7, 40, random.randint(2, 180))))),
        "max_tokens": random.randint(4, 60),
        "temperature": random.choice((0, 1)),
        "seed": random.getrandbits(32),
        "n": random.randint(2, 4) if kind == "several" else 1,
    }
    if kind == "logprobs":
        body["logprobs"] = random.randint(0, 5)
    prompt = tokenizer.encode(body["prompt"])
    written = [write(prompt, sampling(body, choice)) for choice in range(body["n"])]
    if kind == "stop":
        text = tokenizer.decode(written[0][0])
        at = random.randrange(len(text))
        body["stop"] = ["never written", text[at : at + 3]]
    return Card(body, tuple(choice(tokenizer, one, body.get("stop", [])) for one in written))


def sampling(body: dict[str, Any], choice: int) -> SamplingParams:
    return SamplingParams(
        max_tokens=body["max_tokens"],
        temperature=body["temperature"],
        seed=body["seed"] + choice,
        logprobs=body.get("logprobs"),
    )


def choice(tokenizer: Tokenizer, written: Written, stop: Sequence[str]) -> Choice:
    """The part of an output that a client reads: the text up to a stop string."""
    tokens, finish, logprobs = written
    reader, stops = Detokenizer(tokenizer), StopStrings(stop)
    text = stops.feed(reader.feed(tokens) + reader.flush())
    text += "" if stops.matched else stops.flush()
    return Choice(text, "stop" if stops.matched else finish.value, tuple(entry.logprob for entry in logprobs))
