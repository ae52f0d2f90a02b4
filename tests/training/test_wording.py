import re

import pytest

from training import arithmetic, chats, facts, functions, json_tasks, memory, text_tasks
from training.draw import Draw
from training.wording import AFTER, BEFORE, NOUN_FRAMES, VERB_FRAMES, in_conversation, phrasings, with_fillers

LISTS = [
    *arithmetic.QUESTIONS.values(), *facts.QUESTIONS.values(), text_tasks.REVERSE, text_tasks.UPPERCASE,
    text_tasks.LETTERS, text_tasks.WORDS, text_tasks.SORT, text_tasks.REPEAT, json_tasks.ASKED, chats.WHO,
    chats.UNKNOWN, *(thing.asked for thing in memory.THINGS), *(f.questions for f in functions.FUNCTIONS),
]  # fmt: skip
PRACTISED = [
    *((arithmetic.QUESTIONS[sign], practised) for sign, practised in arithmetic.PRACTISED.items()),
    *((f.questions, f.practised) for f in functions.FUNCTIONS if f.practised),
]


def test_the_worked_example_of_phrasings() -> None:
    assert phrasings("How late is it?", noun=("the time",))[:3] == (
        "How late is it?", "What is the time?", "Tell me the time.",
    )  # fmt: skip
    assert phrasings(verb=("open {w}",))[0] == "Open {w}."
    assert phrasings(noun=("{a} + {b}",))[0] == "What is {a} + {b}?"


@pytest.mark.parametrize("frames", [NOUN_FRAMES, VERB_FRAMES])
def test_no_frame_is_always_kept_out(frames: tuple[str, ...]) -> None:
    """Every fifth phrasing is kept out: with a multiple of five frames it would always be the same ones."""
    assert len(frames) % 5


@pytest.mark.parametrize("phrases", LISTS, ids=lambda phrases: phrases[0])
def test_all_phrasings_ask_for_the_same_slots(phrases: tuple[str, ...]) -> None:
    assert len({frozenset(re.findall(r"{\w*}", phrase)) for phrase in phrases}) == 1


@pytest.mark.parametrize(("phrases", "practised"), PRACTISED, ids=lambda phrases: phrases[0])
def test_what_is_practised_asks_for_the_same_and_is_not_kept_out(
    phrases: tuple[str, ...], practised: tuple[str, ...]
) -> None:
    slots = {frozenset(re.findall(r"{\w*}", phrase)) for phrase in (phrases[0], *practised)}
    assert len(slots) == 1
    assert not {phrase.lower().rstrip(".?") for phrase in phrases} & {each.lower().rstrip(".?") for each in practised}


@pytest.mark.parametrize("phrases", LISTS, ids=lambda phrases: phrases[0])
def test_what_is_kept_out_is_made_of_words_that_are_read_in_training(phrases: tuple[str, ...]) -> None:
    """A small model cannot know a word that it has never read; what is asked with known words is new to it."""
    read = {word.lower() for each in LISTS for i, phrase in enumerate(each) if i % 5 != 4 for word in words_of(phrase)}
    read |= {word.lower() for each in BEFORE + AFTER for word in words_of(each)}
    kept_out = {word.lower() for i, phrase in enumerate(phrases) if i % 5 == 4 for word in words_of(phrase)}
    assert kept_out - read == set()


def words_of(phrase: str) -> list[str]:
    return re.findall(r"[A-Za-z']+", re.sub(r"{\w*}", "", phrase))


def test_a_conversation_keeps_the_question() -> None:
    for held_out, least, most in ((False, 0.4, 0.6), (True, 0.7, 0.9)):
        asked = [in_conversation(Draw(f"{seed}", held_out=held_out), "What is it?") for seed in range(300)]
        assert all("What is it" in question for question in asked)
        assert least < sum(question == "What is it?" for question in asked) / len(asked) < most
        assert len(set(asked)) > 15


def test_fillers_leave_a_question_its_words_in_order() -> None:
    question = ["How", "loud", "sings", "{a}?"]
    asked = [with_fillers(Draw(f"{seed}"), " ".join(question)).split() for seed in range(50)]
    assert all([word for word in words if word in question] == question for words in asked)
    assert all(4 < len(words) <= 9 for words in asked)
