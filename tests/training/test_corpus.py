import re
from random import Random

import pytest

from training import words
from training.chats import arithmetic, conversation
from training.corpus import Document, documents
from training.facts import all_facts
from training.stories import ENDING, OPENING, PLOTS, SETTING, draw_cast, story
from training.tokenizer import SPECIAL_TOKENS


@pytest.fixture(scope="module")
def corpus() -> list[Document]:
    return list(documents(400, seed=3))


def test_the_seed_alone_decides(corpus: list[Document]) -> None:
    assert list(documents(400, seed=3)) == corpus
    assert list(documents(400, seed=4)) != corpus


def test_a_shorter_corpus_is_the_beginning_of_a_longer_one(corpus: list[Document]) -> None:
    assert list(documents(50, seed=3)) == corpus[:50]


def test_documents_hardly_repeat(corpus: list[Document]) -> None:
    assert len(set(corpus)) > 0.98 * len(corpus)


def test_a_chat_is_learnt_from_its_last_answer_and_thinks_first(corpus: list[Document]) -> None:
    chats = [document for document in corpus if document.prompt]
    assert len(chats) > 100
    for chat in chats:
        assert chat.prompt.endswith("<|end|><|start|>assistant")
        assert "<|channel|>analysis" not in chat.prompt
        assert re.fullmatch(
            r"<\|channel\|>analysis<\|message\|>[^<]+<\|end\|>"
            r"<\|start\|>assistant<\|channel\|>final<\|message\|>[^<]+<\|return\|>",
            chat.completion,
        )


def test_plain_documents_end_and_hold_no_other_mark(corpus: list[Document]) -> None:
    plain = [document.completion for document in corpus if not document.prompt]
    for text in plain:
        body = text.removesuffix("<|endoftext|>")
        assert body != text
        assert not any(mark in body for mark in SPECIAL_TOKENS)


def test_every_beat_can_be_told_by_every_cast() -> None:
    for seed in range(20):
        cast = draw_cast(Random(seed))
        for beat in (OPENING, SETTING, ENDING, *(beat for plot in PLOTS for beat in plot)):
            for sentence in beat:
                told = sentence.format_map(cast)
                assert told[0].isupper() or told[0] == '"'
                assert told[-1] in '.!?"'


@pytest.mark.parametrize("kind", [*words.CREATURES, *words.CHILDREN])
def test_a_story_about_a_kind_names_it(kind: str) -> None:
    assert all(draw_cast(Random(seed), kind)["kind"].endswith(kind) for seed in range(10))
    assert "{" not in story(Random(0), kind)


def test_a_girl_is_she_and_a_boy_is_he() -> None:
    for seed in range(10):
        assert draw_cast(Random(seed), "girl")["he"] == "she"
        assert draw_cast(Random(seed), "boy")["he"] == "he"


def test_sums_are_right() -> None:
    operations = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    seen = set()
    for seed in range(300):
        exchange = arithmetic(Random(seed))
        match = re.search(r"(\d+) (.) (\d+) = (\d+)", exchange.thought)
        assert match is not None
        first, sign, second, result = match.groups()
        assert operations[sign](int(first), int(second)) == int(result)
        assert exchange.answer.endswith(f" is {result}.")
        seen.add(sign)
    assert seen == set(operations)


def test_facts_are_whole_sentences_without_open_slots() -> None:
    facts = all_facts()
    assert len({fact.statement for fact in facts}) == len(facts)
    for fact in facts:
        for text in (*fact.questions, fact.statement):
            assert "{" not in text
            assert text[0].isupper()
            assert text[-1] in ".?"


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_conversations_alternate_and_end_with_an_answer(effort: str) -> None:
    drawn = [conversation(Random(seed)) for seed in range(60)]
    chosen = [messages for messages, drawn_effort in drawn if drawn_effort == effort]
    assert chosen
    for messages in chosen:
        turns = [message["role"] for message in messages if message["role"] in ("user", "assistant")]
        assert turns == ["user", "assistant"] * (len(turns) // 2)
        assert messages[-1]["thinking"].endswith(".")


def test_articles() -> None:
    assert words.with_article("old hat") == "an old hat"
    assert words.with_article("red hat") == "a red hat"
