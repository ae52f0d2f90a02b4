"""Things told early and asked for late, with other talk in between."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.draw import Draw
from training.exchange import EFFORTS, Exchange
from training.wording import phrasings

CHARACTERS_PER_TOKEN = 3
"""Approximately: the distance between telling and asking is drawn in tokens."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something to keep in mind."""

    label: str
    told: tuple[str, ...]
    noted: tuple[str, ...]
    asked: tuple[str, ...]
    answer: str

    def draw(self, draw: Draw) -> str:
        match self.label:
            case "name":
                return draw.name()
            case "number":
                return str(draw.number(10, 9999))
            case _:
                return draw.word()


THINGS = (
    Thing(
        "name",
        ("My name is {}.", "I am {}.", "Hello, I am {}.", "Hi, my name is {}.", "You can call me {}.", "I'm {}.",
         "Hello! My name is {}.", "People call me {}.", "Please call me {}.", "Hi, I am called {}.",
         "I am called {}.", "Remember my name: {}.", "My name is {}, nice to meet you.", "Hello, my name is {}.",
         "Hello! People call me {}."),
        ("Nice to meet you, {}!", "Hello, {}! How can I help you?"),
        phrasings("Do you remember my name?", "What am I called?", "Who am I?", "How am I called?",
                  "What was my name?", "Do you still know my name?", "Which name did I tell you?",
                  "What name did I give you?", "Do you still remember my name?", "How do people call me?",
                  noun=("my name", "the name that I told you", "the name I gave you", "what I am called")),
        "Your name is {}.",
    ),
    Thing(
        "number",
        ("My number is {}.", "Remember the number {}.", "My favourite number is {}.", "The number is {}.",
         "Keep the number {} in mind.", "Please remember the number {}.", "Note the number {}.",
         "My lucky number is {}.", "I tell you a number: {}.", "Do not forget the number {}.",
         "Remember this number: {}.", "Here is a number: {}.", "The number to remember is {}.",
         "I give you the number {}.",
         "Please keep the number {} in mind."),
        ("I will remember the number {}.", "The number is {}. I will keep it in mind."),
        phrasings("Which number did I tell you?", "What was the number?", "Do you remember the number?",
        "What number did I give you?",
                  "Which number was it?", "What number should you remember?", "Which number should you keep in mind?",
                  "Do you still know the number?", "What number was it?", "Do you still remember the number?",
                  noun=("the number", "the number that I told you", "the number I gave you", "the number to remember")),
        "The number is {}.",
    ),
    Thing(
        "word",
        ("Remember the word {}.", "The word is {}.", "My secret word is {}.", "Please remember the word {}.",
         "Keep the word {} in mind.", "Note the word {}.", "The password is the word {}.", "The magic word is {}.",
         "I tell you a word: {}.", "Do not forget the word {}.", "Remember this word: {}.", "Here is a word: {}.",
         "The word to remember is {}.", "I give you the word {}.", "Please keep the word {} in mind."),
        ("I will remember the word {}.", "The word is {}. I will keep it in mind."),
        phrasings("Which word did I tell you?", "What was the word?", "Do you remember the word?",
        "What word did I give you?",
                  "Which word was it?", "What word should you remember?", "Which word should you keep in mind?",
                  "Do you still know the word?", "What word was it?", "Do you still remember the word?",
                  noun=("the word", "the word that I told you", "the word I gave you", "the word to remember")),
        "The word is {}.",
    ),
)  # fmt: skip


def memory(draw: Draw, talk: Sequence[Callable[[Draw], Exchange]], distance: int) -> Exchange:
    """Tells one to three things and asks for one about `distance` tokens later. `talk` fills the distance."""
    things = draw.rng.sample(THINGS, draw.any((1, 2, 2, 3)))
    history: list[tuple[str, str]] = []
    items = [(thing, thing.draw(draw)) for thing in things]
    for thing, item in items:
        history.append((draw.phrase(thing.told).format(item), draw.any(thing.noted).format(item)))
    spent = 0
    while spent < distance * CHARACTERS_PER_TOKEN:
        between = draw.any(talk)(draw)
        history.append((between.question, between.answer))
        spent += len(between.question) + len(between.answer) + 8 * CHARACTERS_PER_TOKEN
    thing, item = draw.any(items)
    effort = draw.any(EFFORTS)
    thought = f"The {thing.label}: {item}."
    if effort == "high":
        thought = f"The user told me a {thing.label} earlier. {thought}"
    return Exchange(
        draw.phrase(thing.asked), "" if effort == "low" else thought, thing.answer.format(item), item, effort,
        history=tuple(history),
    )  # fmt: skip
