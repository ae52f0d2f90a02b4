"""Judges whether an answer is right, by one rule for each kind of task."""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from training.countries import COUNTRIES
from training.draw import Draw
from training.stories import story

REFERENCE_STORIES = 12_000
"""Enough stories that hardly one in a hundred new ones of the generator has a word pair that is in none of them."""
WORD = re.compile(r"[A-Za-z']+|[.,!?]")


def says_one_of(expected: str, content: str) -> bool:
    """`expected` is one or more texts, separated by |."""
    return any(option.lower() in content.lower() for option in expected.split("|"))


def says_all_of(expected: str, content: str) -> bool:
    """Every text must appear as a whole word: 1234 does not say 123."""
    return all(has_word(option, content) for option in expected.split("|"))


def ends_with_number(expected: str, content: str) -> bool:
    """
    >>> ends_with_number("-39", "48 - 87 = -39.")
    True
    """
    numbers = re.findall(r"-?\d+", content)
    return bool(numbers) and numbers[-1] == expected


def has_word(expected: str, content: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(expected)}(?!\w)", content, re.IGNORECASE) is not None


@lru_cache(maxsize=1)
def groups() -> tuple[frozenset[str], ...]:
    """The known capitals, countries, continents and currencies."""
    return tuple(
        frozenset(getattr(country, field) for country in COUNTRIES)
        for field in ("capital", "name", "continent", "currency")
    )


def names_only(expected: str, content: str) -> bool:
    """Whether `content` names what is expected and nothing else of its kind.

    >>> names_only("Mexico", "Mexico City is the capital of Mexico."), names_only("Oslo", "It is Oslo or Rome.")
    (True, False)
    """
    for group in groups():
        if expected in group:
            named = {name for name in group if has_word(name, content)}
            if {name for name in named if not any(name != other and name in other for other in named)} == {expected}:
                return True
    return False


def is_text(expected: str, content: str) -> bool:
    """The answer must be the text itself, in quotes or not; a count may be in a sentence."""
    if expected.isdigit():
        return ends_with_number(expected, content)
    return content.strip().removesuffix(".").strip("\"'") == expected


def is_json(expected: str, content: str) -> bool:
    try:
        return bool(json.loads(content) == json.loads(expected))
    except ValueError:
        return False


@lru_cache(maxsize=1)
def known_pairs() -> frozenset[tuple[str, str]]:
    """The pairs of consecutive words or marks in many stories."""
    return frozenset(pair for i in range(REFERENCE_STORIES) for pair in pairs(story(Draw(f"judge/{i}").rng)))


def pairs(text: str) -> Iterable[tuple[str, str]]:
    found = [match[0] for match in WORD.finditer(text)]
    return itertools.pairwise(found)


def is_grammatical(prompt: str, content: str) -> bool:
    """A stand-in for a reader: whole sentences, no new word pairs, hardly any sentence twice.

    The prompt and the continuation are read as one text. A last sentence that was cut off is ignored.
    """
    whole = (prompt + content).strip()
    sentences = re.findall(r"[^.!?]+[.!?]", whole)
    if len(sentences) < 2 or len(set(sentences)) < 0.8 * len(sentences):
        return False
    return all(pair in known_pairs() for pair in pairs("".join(sentences)))


JUDGES: Mapping[str, Callable[[str, str], bool]] = {
    "talk": says_one_of,
    "arithmetic": ends_with_number,
    "facts": names_only,
    "text": is_text,
    "tools": says_all_of,
    "json": is_json,
    "memory": has_word,
}
