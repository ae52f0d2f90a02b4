"""The corpus, which is generated from a seed and read from nowhere.

Document n depends only on the seed and n, so a longer corpus begins with the shorter one.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from training.arithmetic import arithmetic
from training.chat_format import ChatFormat
from training.chats import asked_who_it_is, small_talk
from training.draw import Draw
from training.exchange import Exchange
from training.facts import fact, lesson
from training.json_tasks import json_task, look_up
from training.memory import memory
from training.recital import recital
from training.stories import story
from training.text_tasks import text_task
from training.tool_tasks import tool_task
from training.wording import in_conversation

FIRST_YEAR, LAST_YEAR = 2025, 2032
END_OF_TEXT = "<|endoftext|>"
OPENING = "<|start|>assistant"

DISTANCES = (0, 40, 80, 120, 180, 250, 350, 500)
LONG_DISTANCES = (700, 1000, 1400, 1850)
"""Tokens between telling and asking. Long distances cost much reading and teach little."""


@dataclass(frozen=True, slots=True)
class Document:
    """Texts with marks for special tokens, each with whether the model learns to write it or only reads it.

    Of a chat, the model learns only the last turn: earlier answers have lost their reasoning, and learning to write
    those would teach it to answer without reasoning.
    """

    parts: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)


def plain(text: str) -> Document:
    return Document(((text + END_OF_TEXT, True),))


def developer_text(exchange: Exchange) -> str:
    """The instructions, followed by the answer's schema as a server appends it."""
    texts = [exchange.instructions] if exchange.instructions else []
    if exchange.schema is not None:
        body = json.dumps(exchange.schema["schema"], ensure_ascii=False, separators=(",", ":"))
        texts.append(f"# Response Formats\n\n## {exchange.schema['name']}\n\n{body}")
    return "\n\n".join(texts)


def messages_before(exchange: Exchange) -> list[dict[str, Any]]:
    """The conversation up to the last question, in the shape of the chat API."""
    instructions = developer_text(exchange)
    messages: list[dict[str, Any]] = [{"role": "developer", "content": instructions}] if instructions else []
    for question, answer in exchange.history:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [*messages, {"role": "user", "content": exchange.question}]


def analysis(thought: str) -> str:
    return f"<|channel|>analysis<|message|>{thought}<|end|>{OPENING}" if thought else ""


def turn(exchange: Exchange) -> Iterator[tuple[str, bool]]:
    """The text after the prompt: calls with their results, and the answer."""
    for call in exchange.calls:
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        opening = f" to=functions.{call.name}<|channel|>commentary <|constrain|>json<|message|>"
        yield f"{analysis(call.thought)}{opening}{arguments}<|call|>", True
        yield f"<|start|>functions.{call.name} to=assistant<|channel|>commentary<|message|>{call.result}<|end|>", False
        yield OPENING, False
    yield f"{analysis(exchange.thought)}<|channel|>final<|message|>{exchange.answer}<|return|>", True


def chat(exchange: Exchange, date: str, chat_format: ChatFormat) -> Document:
    prompt = chat_format.render(
        messages_before(exchange),
        date=date,
        reasoning_effort=exchange.effort,
        tools=exchange.tools or None,
        add_generation_prompt=True,
    )
    return Document(((prompt, False), *turn(exchange)))


def short_memory(draw: Draw) -> Exchange:
    return memory(draw, (small_talk, fact), draw.any(DISTANCES))


def long_memory(draw: Draw) -> Exchange:
    return memory(draw, (small_talk, fact), draw.any(LONG_DISTANCES))


def second_turn(draw: Draw) -> Exchange:
    """A task after others, whose answer does not depend on them."""
    tasks = (small_talk, fact, arithmetic, text_task)
    before = [draw.any(tasks)(draw) for _ in range(draw.any((1, 1, 2)))]
    last = draw.any(tasks)(draw)
    history = tuple((each.question, each.answer) for each in before)
    return Exchange(last.question, last.thought, last.answer, last.expected, last.effort, history=history)


def any_memory(draw: Draw) -> Exchange:
    return memory(draw, (small_talk, fact), draw.any((*DISTANCES, *LONG_DISTANCES)))


Source = Callable[[Draw], Exchange]


def asked(source: Source, draw: Draw) -> Exchange:
    """Draws from `source` and words the question as people would in a conversation."""
    exchange = source(draw)
    return replace(exchange, question=in_conversation(draw, exchange.question))


KINDS: Mapping[str, Source] = {
    "talk": partial(asked, asked_who_it_is),
    "arithmetic": partial(asked, arithmetic),
    "facts": partial(asked, fact),
    "text": partial(asked, text_task),
    "tools": partial(asked, tool_task),
    "json": partial(asked, json_task),
    "memory": partial(asked, any_memory),
}
"""The kinds of task that the scorer asks for, beside plain completion."""

SHARES: tuple[tuple[Source | Callable[[Draw], str], float], ...] = (
    (small_talk, 14.0),
    (arithmetic, 27.0),
    (fact, 35.0),
    (text_task, 37.0),
    (tool_task, 50.0),
    (recital, 17.0),
    (json_task, 28.0),
    (look_up, 4.0),
    (short_memory, 2.4),
    (long_memory, 0.4),
    (second_turn, 3.0),
    (lambda draw: story(draw.rng), 11.0),
    (lesson, 4.0),
)


def a_date(draw: Draw) -> str:
    return f"{draw.rng.randint(FIRST_YEAR, LAST_YEAR)}-{draw.rng.randint(1, 12):02d}-{draw.rng.randint(1, 28):02d}"


def document(draw: Draw, chat_format: ChatFormat) -> Document:
    sources, shares = zip(*SHARES, strict=True)
    (source,) = draw.rng.choices(sources, shares)
    drawn: Exchange | str = source(draw)
    if isinstance(drawn, str):
        return plain(drawn)
    return chat(replace(drawn, question=in_conversation(draw, drawn.question)), a_date(draw), chat_format)


def documents(count: int, seed: int, *, held_out: bool = False) -> Iterator[Document]:
    """Yields `count` documents, the same for the same seed on every machine. See Draw for `held_out`."""
    chat_format = ChatFormat()
    for index in range(count):
        yield document(Draw(f"{seed}/{index}", held_out=held_out), chat_format)
