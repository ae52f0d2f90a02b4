"""Work on words: what a model that reads characters can do when it first numbers them.

reverse "stone": "1s 2t 3o 4n 5e. Backwards: 5e 4n 3o 2t 1s." → enots
"""

from collections.abc import Callable

from training import words
from training.draw import Draw
from training.exchange import EFFORTS, Effort, Exchange
from training.stories import draw_cast

REVERSE = (
    "Reverse the word {w}.", "Write {w} backwards.", "Spell {w} backwards.", "What is {w} backwards?",
    "Turn the word {w} around.", "Reverse {w}.", "Please reverse the word {w}.", "How do you write {w} backwards?",
    "Give me {w} in reverse.", "What is {w} spelled backwards?", "Can you reverse {w}?", "reverse: {w}",
    "Write the letters of {w} in reverse order.", "Reverse the letters of {w}.", "Read {w} from the end.",
)  # fmt: skip
UPPERCASE = (
    "Write {w} in uppercase.", "Write {w} in capital letters.", "Put {w} in uppercase.", "Uppercase {w}.",
    "Give me {w} in capitals.", "Make {w} uppercase.", "Please write {w} in capitals.", "uppercase: {w}",
    "Turn {w} into capital letters.", "What is {w} in uppercase?", "Can you write {w} in uppercase?",
    "Convert {w} to uppercase.", "Change {w} to capital letters.", "Write {w} with capital letters only.",
    "Please put {w} in capital letters.",
)  # fmt: skip
LETTERS = (
    "How many letters are in {w}?", "Count the letters in {w}.", "How many letters does {w} have?",
    "How long is the word {w}?", "What is the number of letters in {w}?", "Count the letters of {w}.",
    "Please count the letters in {w}.", "How many letters has the word {w}?", "letters in {w}",
    "Tell me how many letters {w} has.", "Can you count the letters in {w}?", "Of how many letters is {w} made?",
    "The word {w} has how many letters?", "Give me the number of letters in {w}.", "How many letters are there in {w}?",
)  # fmt: skip
WORDS = (
    "How many words are in this: {w}", "Count the words: {w}", "How many words does this have: {w}",
    "Count the words in this sentence: {w}", "What is the number of words in this: {w}", "words: {w}",
    "Please count the words: {w}", "How many words are there: {w}", "How many words do you see: {w}",
    "Tell me how many words this has: {w}",
)  # fmt: skip
SORT = (
    "Sort these words: {w}", "Sort the words {w}.", "Put these words in order: {w}", "Sort: {w}",
    "Arrange these words by the alphabet: {w}", "Please sort these words: {w}", "Sort this list: {w}",
    "Order these words: {w}", "Put the words {w} in alphabetical order.", "Can you sort these words: {w}",
)  # fmt: skip
REPEAT = (
    "Repeat {w} {n} times.", "Say {w} {n} times.", "Write {w} {n} times.", "Write the word {w} {n} times.",
    "Say the word {w} {n} times in a row.", "Please repeat {w} {n} times.", "Please say {w} {n} times.",
    "Can you repeat {w} {n} times?", "repeat {n} times: {w}", "Give me {w} {n} times.",
)  # fmt: skip


def numbered(word: str) -> str:
    """
    >>> numbered("tea")
    '1t 2e 3a'
    """
    return " ".join(f"{i}{letter}" for i, letter in enumerate(word, 1))


def backwards(word: str) -> str:
    return " ".join(f"{i}{word[i - 1]}" for i in range(len(word), 0, -1))


def thinking(effort: Effort, aim: str, work: str) -> str:
    return {"low": work, "medium": f"{aim} {work}", "high": f"The user wants a text task. {aim} {work} I check it."}[
        effort
    ]


def quoted(draw: Draw, word: str) -> str:
    return draw.any((word, f'"{word}"', f"'{word}'"))


def one_word(draw: Draw) -> str:
    if draw.chance(0.12):
        return draw.any((*words.CREATURES, *words.THINGS[:-1], *words.COLOURS))
    return draw.word()


def reverse(draw: Draw, effort: Effort) -> Exchange:
    word = one_word(draw)
    thought = thinking(effort, "I reverse it.", f"{numbered(word)}. Backwards: {backwards(word)}.")
    return Exchange(draw.phrase(REVERSE).format(w=quoted(draw, word)), thought, word[::-1], word[::-1], effort)


def uppercase(draw: Draw, effort: Effort) -> Exchange:
    word = one_word(draw)
    thought = thinking(effort, "I write capitals.", f"{numbered(word)}. Capitals: {numbered(word.upper())}.")
    return Exchange(draw.phrase(UPPERCASE).format(w=quoted(draw, word)), thought, word.upper(), word.upper(), effort)


def count_letters(draw: Draw, effort: Effort) -> Exchange:
    word = one_word(draw)
    thought = thinking(effort, "I count the letters.", f"{numbered(word)}. That is {len(word)}.")
    question = draw.phrase(LETTERS).format(w=quoted(draw, word))
    return Exchange(question, thought, f"It has {len(word)} letters.", str(len(word)), effort)


def some_sentence(draw: Draw) -> list[str]:
    if draw.chance(0.5):
        return draw.different_words(draw.rng.randint(2, 6))
    cast = draw_cast(draw.rng)
    line = draw.any(("{he} sat under the {tree}", "the {kind} had {food}", "we saw {thing} near {place}"))
    return line.format_map(cast).split()[:9]


def count_words(draw: Draw, effort: Effort) -> Exchange:
    text = some_sentence(draw)
    counted = " ".join(f"{i} {word}" for i, word in enumerate(text, 1))
    thought = thinking(effort, "I count the words.", f"{counted}. That is {len(text)}.")
    question = draw.phrase(WORDS).format(w=" ".join(text))
    return Exchange(question, thought, f"It has {len(text)} words.", str(len(text)), effort)


def sort(draw: Draw, effort: Effort) -> Exchange:
    """Words that begin with different letters."""
    count = draw.rng.randint(3, 5)
    chosen = draw.different_words(count)
    while len({word[0] for word in chosen}) < count:
        chosen = draw.different_words(count)
    ordered = sorted(chosen)
    first, then = "-".join(word[0] for word in chosen), "-".join(word[0] for word in ordered)
    thought = thinking(effort, "I sort them.", f"First letters ({first}). In order ({then}).")
    question = draw.phrase(SORT).format(w=", ".join(chosen))
    return Exchange(question, thought, ", ".join(ordered), ", ".join(ordered), effort)


def repeat(draw: Draw, effort: Effort) -> Exchange:
    word, times = one_word(draw), draw.rng.randint(2, 6)
    counted = " ".join(f"{i} {word}" for i in range(1, times + 1))
    thought = thinking(effort, f"I say it {times} times.", f"{counted}. That is {times}.")
    question = draw.phrase(REPEAT).format(w=quoted(draw, word), n=times)
    answer = " ".join([word] * times)
    return Exchange(question, thought, answer, answer, effort)


TASKS: tuple[Callable[[Draw, Effort], Exchange], ...] = (reverse, uppercase, count_letters, count_words, sort, repeat)


def text_task(draw: Draw) -> Exchange:
    return draw.any(TASKS)(draw, draw.any(EFFORTS))
