"""A benchmark's requests: texts of a given length, or the questions of a file."""

import json
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Protocol

from clients.client import AsyncCarousel
from clients.errors import UsageError
from clients.options import ChatOptions, CompletionOptions
from clients.results import Delta, Message

FIRST_TOKEN_ID = 10
"""Some vocabularies have their special tokens below it."""


class Question(Protocol):
    """One request to be measured."""

    def stream(self, client: AsyncCarousel) -> AsyncGenerator[Delta, None]: ...


@dataclass(frozen=True, slots=True)
class Completion:
    """Continues a text of exactly these tokens."""

    token_ids: Sequence[int]
    options: CompletionOptions

    def stream(self, client: AsyncCarousel) -> AsyncGenerator[Delta, None]:
        return client.stream_complete(self.token_ids, **self.options)


@dataclass(frozen=True, slots=True)
class Chat:
    """Asks for a conversation's next message."""

    messages: Sequence[Message]
    options: ChatOptions

    def stream(self, client: AsyncCarousel) -> AsyncGenerator[Delta, None]:
        return client.stream_chat(self.messages, **self.options)


def synthetic(
    *, input_len: int, output_len: int, vocab_size: int, ignore_eos: bool, model: str, seed: int
) -> Iterator[Question]:
    """Texts of `input_len` random tokens, no two alike, each continued by `output_len` tokens.

    Without `ignore_eos`, which OpenAI's API does not have, a model may end sooner.
    """
    draw = random.Random(seed)
    options: CompletionOptions = {"model": model, "max_tokens": output_len, "temperature": 0.0}
    if ignore_eos:
        options["ignore_eos"] = True
    while True:
        yield Completion([draw.randrange(FIRST_TOKEN_ID, vocab_size) for _ in range(input_len)], options)


def from_file(path: Path, *, output_len: int, model: str, seed: int) -> Iterator[Question]:
    """The first question of every conversation in a ShareGPT-style file, shuffled, repeated without end.

    The file is a JSON list of `{"conversations": [{"from": "human", "value": …}, …]}`. Raises UsageError.
    """
    questions = list(first_questions(path))
    if not questions:
        raise UsageError(f"{path} has no conversation that begins with a question")
    random.Random(seed).shuffle(questions)
    options: ChatOptions = {"model": model, "max_completion_tokens": output_len}
    return (Chat([{"role": "user", "content": question}], options) for question in cycle(questions))


def first_questions(path: Path) -> Iterator[str]:
    """Raises UsageError if the file does not have that form."""
    try:
        conversations = json.loads(path.read_text(encoding="utf-8"))
        for conversation in conversations:
            turns = conversation["conversations"]
            if turns and turns[0]["from"] in ("human", "user") and turns[0]["value"].strip():
                yield turns[0]["value"]
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is not a ShareGPT-style file: {type(error).__name__} {error}") from error
