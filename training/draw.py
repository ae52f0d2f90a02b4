"""Draws phrasings and values for training, or those that are kept out of training for the scorer."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar
from zlib import crc32

from training import words

T = TypeVar("T")

PHRASE_KEPT_OUT = 5
VALUE_KEPT_OUT = 8
CONSONANTS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"


def is_kept_out(value: object) -> bool:
    """Keeps out one value in eight by a checksum of its text, the same on every machine.

    >>> [number for number in range(20) if is_kept_out(number)]
    [4, 14]
    """
    return crc32(str(value).encode()) % VALUE_KEPT_OUT == 0


def unmarked(phrase: str) -> str:
    """A question without its full stop or question mark; a pattern with slots is unchanged."""
    return phrase if "{" in phrase else phrase.rstrip(".?")


class Draw:
    """A source of random choices. With `held_out`, it draws only phrasings and values that are never drawn without.

    Every fifth of a list's phrasings is kept out, and the names, words and pairs of numbers that `is_kept_out` selects.
    """

    def __init__(self, seed: str, *, held_out: bool = False) -> None:
        self.rng = Random(f"{seed}/{held_out}")
        self.held_out = held_out

    def any(self, options: Sequence[T]) -> T:
        return self.rng.choice(options)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def phrase(self, options: Sequence[str], practised: Sequence[str] = ()) -> str:
        """Draws from at least five phrasings. The fifth, tenth, … are kept out unless they are also among the others.
        Phrasings in `practised` count as others: adding to them keeps no further phrasing out.

        A question may lose its mark (in_conversation), so one that differs only in its mark counts as the same.
        """
        trained = [option for i, option in enumerate(options) if i % PHRASE_KEPT_OUT != PHRASE_KEPT_OUT - 1]
        trained += practised
        if not self.held_out:
            return self.rng.choice(trained)
        seen = {unmarked(option) for option in trained}
        return self.rng.choice([option for option in options if unmarked(option) not in seen])

    def value(self, options: Sequence[T]) -> T:
        mine = [option for option in options if is_kept_out(option) == self.held_out]
        return self.rng.choice(mine)

    def values(self, options: Sequence[T], count: int) -> list[T]:
        """Draws `count` different values."""
        mine = [option for option in options if is_kept_out(option) == self.held_out]
        return self.rng.sample(mine, count)

    def invented(self, shortest: int = 3, longest: int = 8) -> str:
        """An invented, pronounceable word. With `held_out`, it is never an everyday word."""
        length = self.rng.randint(shortest, longest)
        while True:
            start = self.rng.random() < 0.75
            letters = [self.rng.choice(CONSONANTS if (i % 2 == 0) == start else VOWELS) for i in range(length)]
            if length > 4 and self.rng.random() < 0.4:
                place = self.rng.randrange(1, length - 1)
                letters[place] = letters[place - 1]
            word = "".join(letters)
            if is_kept_out(word) == self.held_out and not (self.held_out and word in words.EVERYDAY):
                return word

    def word(self, longest: int = 8) -> str:
        """A noun, or an invented word."""
        return self.invented(longest=longest) if self.chance(0.6) else self.value(words.NOUNS)

    def label(self) -> str:
        """Any word as the name of a field or a function, which the model must read rather than know.

        In training often an everyday word, since a model that has never copied a token cannot copy it when asked, and
        now and then two words.
        """
        if not self.held_out and self.chance(0.1):
            return f"{self.label()}_{self.label()}"
        if not self.held_out and self.chance(0.6):
            return self.any(words.LABELS if self.chance(0.6) else words.EVERYDAY)
        return self.word(6)

    def any_word(self) -> str:
        """A word for tasks that do not look at letters: in training also, and often, a word that is a single token."""
        if not self.held_out and self.chance(0.3):
            return self.any(words.WHOLE)
        return self.word()

    def different_words(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            if (word := self.word(7)) not in found:
                found.append(word)
        return found

    def name(self) -> str:
        """A known or invented name; in training now and then a word that is a token and seldom a name, such as "Will".
        A known name that is held out is no name in a story."""
        if not self.held_out and self.chance(0.1):
            return self.value(words.CAPITALISED)
        if self.chance(0.5):
            return self.invented(3, 7).capitalize()
        return self.value(words.STRANGERS if self.held_out else words.NAMES)

    def number(self, smallest: int, largest: int) -> int:
        """A number, kept out by its own value."""
        while is_kept_out(number := self.rng.randint(smallest, largest)) != self.held_out:
            pass
        return number
