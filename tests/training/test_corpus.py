import json
import re
from itertools import pairwise

import pytest

from training import words
from training.arithmetic import arithmetic, work
from training.chat_format import ChatFormat
from training.chats import small_talk
from training.corpus import KINDS, Document, chat, developer_text, documents, messages_before
from training.countries import COUNTRIES
from training.draw import Draw
from training.exchange import Exchange
from training.recital import recital
from training.stories import ENDING, OPENING, PLOTS, SETTING, draw_cast, story
from training.text_tasks import count_letters, repeat, reverse, sort, uppercase
from training.tokenizer import SPECIAL_TOKENS

THINKS = r"(<\|channel\|>analysis<\|message\|>[^<]+<\|end\|><\|start\|>assistant)?"
CALLS = r" to=functions\.\w+<\|channel\|>commentary <\|constrain\|>json<\|message\|>\{.*\}<\|call\|>"
ANSWERS = r"<\|channel\|>final<\|message\|>[^<]+<\|return\|>"


@pytest.fixture(scope="module")
def corpus() -> list[Document]:
    return list(documents(400, seed=3))


def drawn(kind: str, count: int = 120, *, held_out: bool = False) -> list[Exchange]:
    return [KINDS[kind](Draw(f"test/{seed}", held_out=held_out)) for seed in range(count)]


def test_the_seed_alone_decides(corpus: list[Document]) -> None:
    assert list(documents(400, seed=3)) == corpus
    assert list(documents(400, seed=4)) != corpus


def test_a_shorter_corpus_is_the_beginning_of_a_longer_one(corpus: list[Document]) -> None:
    assert list(documents(50, seed=3)) == corpus[:50]


def test_what_is_learnt_is_thoughts_calls_and_answers(corpus: list[Document]) -> None:
    chats = [document for document in corpus if document.text.startswith("<|start|>")]
    assert len(chats) > 200
    for document in chats:
        *calls, answer = [text for text, learnt in document.parts if learnt]
        assert re.fullmatch(THINKS + ANSWERS, answer), answer
        for call in calls:
            assert re.fullmatch(THINKS + CALLS, call), call
        assert "<|channel|>analysis" not in document.parts[0][0]


def test_plain_documents_end_and_hold_no_other_mark(corpus: list[Document]) -> None:
    plain = [document.text for document in corpus if len(document.parts) == 1]
    assert plain
    for text in plain:
        body = text.removesuffix("<|endoftext|>")
        assert body != text
        assert not any(mark in body for mark in SPECIAL_TOKENS)


@pytest.mark.parametrize("kind", KINDS)
def test_no_question_of_the_scorer_is_trained_on(kind: str) -> None:
    trained = {exchange.question for exchange in drawn(kind)}
    assert trained.isdisjoint(exchange.question for exchange in drawn(kind, held_out=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_effort_is_asked_for(kind: str) -> None:
    assert {exchange.effort for exchange in drawn(kind)} == {"low", "medium", "high"}


@pytest.mark.parametrize("effort", ["low", "medium"])
@pytest.mark.parametrize("sign", ["+", "-", "*"])
def test_sums_are_right_in_every_step(sign: str, effort: str) -> None:
    for a, b in ((0, 0), (7, 5), (999, 1), (100, 99), (3, 45), (40, 60), (99, 99)):
        thought, result = work(a, sign, b, effort)
        assert result == {"+": a + b, "-": a - b, "*": a * b}[sign]
        steps = re.findall(r"(-?\d+(?: ?[-+*] ?\d+)+) ?= ?(-?\d+)", thought)
        assert steps
        for left, right in steps:
            numbers = [int(n) for n in re.findall(r"\d+", left)]
            signs = re.findall(r"[-+*]", left)
            total = numbers[0]
            for op, number in zip(signs, numbers[1:], strict=True):
                total = {"+": total + number, "-": total - number, "*": total * number}[op]
            assert total == int(right), thought


def test_more_effort_is_a_longer_thought() -> None:
    for a, sign, b in ((48, "+", 87), (487, "-", 365), (47, "*", 38)):
        low, medium, high = (len(work(a, sign, b, effort)[0]) for effort in ("low", "medium", "high"))
        assert low < medium < high


def test_the_answer_to_a_sum_ends_with_the_result() -> None:
    for seed in range(50):
        exchange = arithmetic(Draw(f"{seed}"))
        assert exchange.answer.endswith(f" = {exchange.expected}.")


def test_there_are_a_hundred_countries() -> None:
    assert len({country.name for country in COUNTRIES}) == 100
    assert len({country.capital for country in COUNTRIES}) == 100
    assert {country.continent for country in COUNTRIES} == {
        "Africa", "Asia", "Europe", "North America", "South America", "Oceania",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_text_tasks_are_right(seed: int) -> None:
    def word_of(exchange: Exchange) -> str:
        return "".join(re.findall(r"\d+([a-z])", exchange.thought.split(". ")[0] + ". ") or exchange.thought)

    draw = Draw(f"text/{seed}")
    turned = reverse(draw, "low")
    assert word_of(turned) == turned.answer[::-1]
    capitals = uppercase(draw, "low")
    assert word_of(capitals).upper() == capitals.answer
    counted = count_letters(draw, "low")
    assert len(word_of(counted)) == int(counted.expected)
    ordered = sort(draw, "low").answer.split(", ")
    assert all(first < second for first, second in pairwise(ordered))
    assert len({*repeat(draw, "low").answer.split()}) == 1


def test_calls_fit_the_functions_that_are_offered() -> None:
    numbers = set()
    for exchange in drawn("tools"):
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in exchange.tools}
        numbers.add(len(exchange.calls))
        for call in exchange.calls:
            assert list(call.arguments) == offered[call.name]["required"]
            for name, value in call.arguments.items():
                kind = {"string": str, "integer": int}[offered[call.name]["properties"][name]["type"]]
                assert isinstance(value, kind)
            assert json.loads(call.result)["result"] in exchange.answer
    assert numbers == {0, 1, 2}


@pytest.mark.parametrize("held_out", [False, True])
def test_no_two_functions_have_one_name(held_out: bool) -> None:
    for seed in range(1500):
        names = [tool["function"]["name"] for tool in KINDS["tools"](Draw(f"{seed}", held_out=held_out)).tools]
        assert len(set(names)) == len(names), seed


def test_a_tool_dialogue_reads_as_the_template_renders_it() -> None:
    """Everything but the last answer, whose prompt is what a server would render."""
    exchange = next(each for each in drawn("tools") if len(each.calls) == 2 and each.effort == "medium")
    messages = messages_before(exchange)
    for number, call in enumerate(exchange.calls):
        made = {"id": f"{number}", "function": {"name": call.name, "arguments": call.arguments}}
        messages.append({"role": "assistant", "thinking": call.thought, "tool_calls": [made]})
        messages.append({"role": "tool", "tool_call_id": f"{number}", "content": call.result})
    chat_format = ChatFormat()
    document = chat(exchange, "2026-01-31", chat_format)
    rendered = chat_format.render(
        messages, date="2026-01-31", tools=exchange.tools, reasoning_effort="medium", add_generation_prompt=True
    )
    assert document.text.removesuffix(document.parts[-1][0]) == rendered


def test_objects_have_the_fields_of_their_schema() -> None:
    for exchange in drawn("json"):
        assert exchange.schema is not None
        assert list(json.loads(exchange.answer)) == exchange.schema["schema"]["required"]


def test_a_thought_quotes_the_definition_that_it_calls() -> None:
    """Word for word as the prompt has it, so that names come by copying on."""
    for exchange in drawn("tools"):
        prompt = ChatFormat().render(messages_before(exchange), date="2026-01-31", tools=exchange.tools)
        for call in exchange.calls:
            _, quotation = call.thought.split("\n", 1)
            assert f" {quotation}" in prompt
            assert f"type {call.name} = " in quotation


def test_a_recital_quotes_all_definitions_in_the_order_asked_for() -> None:
    for number in range(30):
        exchange = recital(Draw(f"test/{number}"))
        prompt = ChatFormat().render(messages_before(exchange), date="2026-01-01", tools=exchange.tools)
        definitions = exchange.thought.split("\n}\n")
        assert len(definitions) == len(exchange.tools) > 1
        for definition, purpose, name in zip(
            definitions,
            exchange.question.split(": ")[1].removesuffix(".").split(", then "),
            exchange.answer.removesuffix(".").split(", "),
            strict=True,
        ):
            assert definition.startswith(f"{purpose}.\ntype {name} = ")
            assert definition.removesuffix("\n}") in prompt


def test_a_thought_says_what_is_left_to_do_with_which_values() -> None:
    for exchange in drawn("tools"):
        uses = [json.dumps(list(call.arguments.values()))[1:-1] for call in exchange.calls]
        for number, call in enumerate(exchange.calls):
            plan = call.thought.split("\n")[0]
            assert ("First" in plan, "Then" in plan) == (number == 0, len(uses) == 2)
            assert re.findall(r": (.+?)\.(?: Then|$)", plan) == uses[number:]


def test_of_two_calls_each_result_is_said_when_it_comes_and_both_in_the_answer() -> None:
    exchanges = [KINDS["tools"](Draw(f"{seed}")) for seed in range(400)]
    twice = [exchange for exchange in exchanges if len(exchange.calls) == 2]
    assert len(twice) > 80
    for exchange in twice:
        first, second = (json.loads(call.result)["result"] for call in exchange.calls)
        last = exchange.thought.removesuffix(" I have what I need.")
        before = exchange.answer.removesuffix(f" {last}")
        assert exchange.answer == f"{before} {last}"
        assert exchange.calls[1].thought.startswith(f"{before} ")
        assert (first in before, second in last) == (True, True)


def test_a_thought_lists_the_fields_as_the_schema_does() -> None:
    for exchange in drawn("json"):
        assert exchange.schema is not None
        listed = re.search(r'"required":\[(.*?)\]', developer_text(exchange))
        assert listed is not None
        assert f"The fields are {listed[1]}." in exchange.thought


def test_what_is_remembered_was_told() -> None:
    lengths = []
    for exchange in drawn("memory", 40):
        told = " ".join(question for question, _ in exchange.history)
        assert exchange.expected in told
        assert exchange.expected not in exchange.question
        lengths.append(len(told))
    assert max(lengths) > 3 * min(lengths)


def test_every_beat_can_be_told_by_every_cast() -> None:
    for seed in range(20):
        cast = draw_cast(Draw(f"{seed}").rng)
        for beat in (OPENING, SETTING, ENDING, *(beat for plot in PLOTS for beat in plot)):
            for sentence in beat:
                told = sentence.format_map(cast)
                assert told[0].isupper() or told[0] == '"'
                assert told[-1] in '.!?"'


@pytest.mark.parametrize("kind", [*words.CREATURES, *words.CHILDREN])
def test_a_story_about_a_kind_names_it(kind: str) -> None:
    assert all(draw_cast(Draw(f"{seed}").rng, kind)["kind"].endswith(kind) for seed in range(10))
    assert "{" not in story(Draw("0").rng, kind)


def test_a_girl_is_she_and_a_boy_is_he() -> None:
    for seed in range(10):
        assert draw_cast(Draw(f"{seed}").rng, "girl")["he"] == "she"
        assert draw_cast(Draw(f"{seed}").rng, "boy")["he"] == "he"


def test_no_slot_stays_open() -> None:
    for seed in range(200):
        exchange = small_talk(Draw(f"{seed}"))
        assert "{" not in exchange.question + exchange.answer + exchange.thought


def test_articles() -> None:
    assert words.with_article("old hat") == "an old hat"
    assert words.with_article("red hat") == "a red hat"
