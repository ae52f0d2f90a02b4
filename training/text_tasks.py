"""Tasks on words, which a model that reads characters can do if it first numbers them.

reverse "stone": "1s 2t 3o 4n 5e. Backwards: 5e 4n 3o 2t 1s." → enots
"""

from collections.abc import Callable

from training import words
from training.draw import Draw
from training.exchange import EFFORTS, Effort, Exchange
from training.stories import draw_cast
from training.wording import phrasings

REVERSE = phrasings(
    "How do you write {w} backwards?", "reverse: {w}", "How is {w} written backwards?", "What does {w} read backwards?",
    "How do you spell {w} from the end?", "{w} backwards", "How does {w} look in reverse?", "backwards: {w}",
    "What do you get when you reverse {w}?", "What do you get when you read {w} from the end?",
    noun=("{w} backwards", "the reverse of {w}", "{w} in reverse", "the word {w} spelled backwards"),
    verb=("reverse the word {w}", "write {w} backwards", "spell {w} backwards", "turn the word {w} around",
    "reverse {w}",
          "write the letters of {w} in reverse order", "reverse the letters of {w}", "read {w} from the end"),
)  # fmt: skip
UPPERCASE = phrasings(
    "uppercase: {w}", "How do you write {w} in uppercase?", "capitals: {w}", "How is {w} written in capital letters?",
    "How does {w} look in capitals?", "{w} in capitals", "{w} in uppercase", "How do you write {w} in capitals?",
    "What do you get when you put {w} in capitals?", "How does {w} look in uppercase?",
    noun=("{w} in capitals", "{w} in uppercase", "the word {w} in capital letters", "the capital letters of {w}"),
    verb=("write {w} in uppercase", "write {w} in capital letters", "put {w} in uppercase", "uppercase {w}",
          "make {w} uppercase", "turn {w} into capital letters", "change {w} to capitals", "convert {w} to uppercase"),
)  # fmt: skip
LETTERS = phrasings(
    "How many letters are in {w}?", "How many letters does {w} have?", "How long is the word {w}?",
    "How many letters has the word {w}?", "letters in {w}", "How many letters are there in {w}?",
    "The word {w} has how many letters?", "Of how many letters is {w} made?", "{w}: how many letters?",
    "How many letters do you see in {w}?", "How many letters do you need to write {w}?",
    noun=("the number of letters in {w}", "how many letters {w} has", "how many letters are in {w}",
    "the length of {w}"),
    verb=("count the letters in {w}", "count the letters of {w}", "count how many letters {w} has"),
)  # fmt: skip
WORDS = phrasings(
    "How many words are in this: {w}", "How many words does this have: {w}", "words: {w}",
    "How many words are there: {w}",
    "How many words do you see: {w}", "How many words are here: {w}", "Of how many words is this made: {w}",
    "How many words has this sentence: {w}", "How many words do you read here: {w}", "How long is this in words: {w}",
    noun=("the number of words in this: {w}", "how many words this has: {w}", "how many words are here: {w}"),
    verb=("count the words: {w}", "count the words in this sentence: {w}", "count how many words this has: {w}"),
)  # fmt: skip
SORT = phrasings(
    "Sort: {w}", "How do you sort these words: {w}", "sort {w}", "In which order are these words: {w}", "Order: {w}",
    "What is the order of these words: {w}", "How does the alphabet order these words: {w}", "Sorted: {w}",
    "Which of these words comes first, and which then: {w}", "What do you get when you sort these words: {w}",
    noun=("these words in order: {w}", "these words sorted: {w}", "this list in order: {w}"),
    verb=("sort these words: {w}", "sort the words {w}", "put these words in order: {w}", "order these words: {w}",
          "arrange these words by the alphabet: {w}", "sort this list: {w}", "arrange this list: {w}",
          "put the words {w} in alphabetical order"),
)  # fmt: skip
REPEAT = phrasings(
    "repeat {n} times: {w}", "{w}, {n} times", "{n} times {w}", "How does {w} look {n} times?", "{n} times: {w}",
    "I want to read {w} {n} times.", "I want to see {w} {n} times.", "write {n} times: {w}", "say {n} times: {w}",
    "Let me read {w} {n} times.",
    noun=("{w} {n} times", "the word {w} {n} times", "{n} times the word {w}"),
    verb=("repeat {w} {n} times", "say {w} {n} times", "write {w} {n} times", "write the word {w} {n} times",
          "say the word {w} {n} times in a row", "repeat the word {w} {n} times"),
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
    if not draw.held_out and draw.chance(0.12):
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
    if draw.held_out or draw.chance(0.5):
        return list({draw.any_word(): None for _ in range(draw.rng.randint(2, 6))})
    cast = draw_cast(draw.rng)
    line = draw.any(("{he} sat under the {tree}", "{kind} had {food}", "we saw {thing} near {place}"))
    return line.format_map(cast).split()[:9]


def count_words(draw: Draw, effort: Effort) -> Exchange:
    text = some_sentence(draw)
    counted = " ".join(f"{i} {word}" for i, word in enumerate(text, 1))
    thought = thinking(effort, "I count the words.", f"{counted}. That is {len(text)}.")
    question = draw.phrase(WORDS).format(w=" ".join(text))
    return Exchange(question, thought, f"It has {len(text)} words.", str(len(text)), effort)


def sort(draw: Draw, effort: Effort) -> Exchange:
    """Sorts words that begin with different letters."""
    count = draw.rng.randint(3, 5)
    chosen = draw.different_words(count)
    while len({word[0] for word in chosen}) < count:
        chosen = draw.different_words(count)
    ordered = sorted(chosen)
    first, then = "-".join(word[0] for word in chosen), "-".join(word[0] for word in ordered)
    listed = ", ".join(f"{word[0]} {word}" for word in ordered)
    thought = thinking(effort, "I sort them.", f"First letters ({first}). In order ({then}): {listed}.")
    question = draw.phrase(SORT).format(w=", ".join(chosen))
    return Exchange(question, thought, ", ".join(ordered), ", ".join(ordered), effort)


def repeat(draw: Draw, effort: Effort) -> Exchange:
    word, times = draw.any_word(), draw.rng.randint(2, 6)
    counted = " ".join(f"{i} {word}" for i in range(1, times + 1))
    thought = thinking(effort, f"I say it {times} times.", f"{counted}. That is {times}.")
    question = draw.phrase(REPEAT).format(w=quoted(draw, word), n=times)
    answer = " ".join([word] * times)
    return Exchange(question, thought, answer, answer, effort)


TASKS: tuple[Callable[[Draw, Effort], Exchange], ...] = (reverse, uppercase, count_letters, count_words, sort, repeat)


def text_task(draw: Draw) -> Exchange:
    """Any of the tasks on texts; in training the hardest more often."""
    return draw.any(TASKS if draw.held_out else (*TASKS, sort, repeat))(draw, draw.any(EFFORTS))
