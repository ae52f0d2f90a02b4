"""The corpus: stories, facts and chats, generated from a seed and never read from anywhere.

Document n depends on the seed and on n alone, so a longer corpus begins with a shorter one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from training.chat_format import ChatFormat
from training.chats import FACTS, conversation
from training.stories import story

STORY_SHARE, FACT_SHARE = 0.35, 0.10
FIRST_YEAR, LAST_YEAR = 2025, 2032
END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True, slots=True)
class Document:
    """What is read, and what is learnt to be written after it, with marks for special tokens.

    A chat's prompt is everything up to its last answer: earlier answers have lost their reasoning, and
    learning to write them so would teach the model to answer without any.
    """

    prompt: str
    completion: str


def a_date(rng: Random) -> str:
    return f"{rng.randint(FIRST_YEAR, LAST_YEAR)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def chat(rng: Random, chat_format: ChatFormat) -> Document:
    messages, effort = conversation(rng)
    date = a_date(rng)
    whole = chat_format.render(messages, date=date, reasoning_effort=effort)
    prompt = chat_format.render(messages[:-1], date=date, reasoning_effort=effort, add_generation_prompt=True)
    return Document(prompt, whole.removeprefix(prompt))


def document(rng: Random, chat_format: ChatFormat) -> Document:
    kind = rng.random()
    if kind < STORY_SHARE:
        return Document("", story(rng) + END_OF_TEXT)
    if kind < STORY_SHARE + FACT_SHARE:
        lesson = rng.sample(FACTS, rng.randint(3, 6))
        return Document("", " ".join(known.statement for known in lesson) + END_OF_TEXT)
    return chat(rng, chat_format)


def documents(count: int, seed: int) -> Iterator[Document]:
    """`count` documents; the same for the same seed, on every machine."""
    chat_format = ChatFormat()
    for index in range(count):
        yield document(Random(f"{seed}/{index}"), chat_format)
