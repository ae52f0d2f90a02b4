"""What the model asks for is called, whatever it writes."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest

from clients.errors import ToolRoundsError
from clients.results import Answer, Choice, ToolCall, Usage
from clients.tool_loop import ToolError, ToolLoop, invoke_together
from clients.tool_schema import definition, schema

HI = [{"role": "user", "content": "hi"}]


def add(a: int, b: int = 1) -> int:
    return a + b


def refuse() -> None:
    raise ToolError("not today")


def fail() -> None:
    raise ZeroDivisionError


async def slowly(text: str) -> dict[str, str]:
    await asyncio.sleep(0)
    return {"text": text}


TOOLS = {"add": add, "refuse": refuse, "fail": fail, "slowly": slowly}


def answer(*calls: tuple[str, str], text: str = "") -> Answer:
    made = tuple(ToolCall(id=f"c{i}", name=name, arguments=arguments) for i, (name, arguments) in enumerate(calls))
    choice = Choice(
        index=0, text=text, reasoning="Hm.", finish_reason="stop", stop_reason=None, logprobs=None, tool_calls=made
    )
    return Answer(id="1", model="m", choices=(choice,), usage=Usage(prompt_tokens=1, completion_tokens=1))


def loop(max_rounds: int = 10, **options: Any) -> ToolLoop:
    return ToolLoop(HI, TOOLS, options, max_rounds)


async def results(calls: Sequence[tuple[str, str]]) -> list[str]:
    """The same from blocking and asyncio calls, but for the function that is async."""
    asked = answer(*calls)
    awaited = [await one.ainvoke() for one in loop().take(asked)]
    assert awaited == [one.invoke() for one in loop().take(asked)]
    return awaited


async def test_results() -> None:
    assert await results([("add", '{"a": 1, "b": 2}'), ("add", '{"a": 5}')]) == ["3", "6"]
    assert await results([("refuse", "")]) == ['{"error": "not today"}']
    (one,) = loop().take(answer(("slowly", '{"text": "hallo ß"}')))
    assert await one.ainvoke() == '{"text": "hallo ß"}'


@pytest.mark.parametrize(
    "call",
    [
        ("nothing", "{}"),
        ("add", "{"),
        ("add", "[1, 2]"),
        ("add", "3"),
        ("add", "{}"),
        ("add", '{"a": 1, "c": 2}'),
        ("add", "[" * 100_000),
    ],
    ids=lambda call: call[1][:20],
)
async def test_mistakes_are_told_to_the_model(call: tuple[str, str]) -> None:
    (told,) = await results([call])
    assert json.loads(told).keys() == {"error"}


def test_half_a_surrogate_pair_in_a_result_can_be_sent() -> None:
    rounds = ToolLoop(HI, {"slowly": lambda text: text}, {}, 1)
    (one,) = rounds.take(answer(("slowly", '{"text": "a \\ud83d"}')))
    rounds.give(one, one.invoke())
    assert rounds.messages[-1]["content"] == "a ?"


async def test_no_tool_runs_on_after_another_has_failed() -> None:
    ended = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    calls = ToolLoop(HI, {"wait": wait, "fail": fail}, {}, 1).take(answer(("wait", "{}"), ("fail", "{}")))
    with pytest.raises(ZeroDivisionError):
        await invoke_together(calls)
    assert ended


async def test_a_call_that_was_cut_off_is_not_made() -> None:
    asked = answer(("add", '{"a": 1}'), ("refuse", ""))
    (choice,) = asked.choices
    made = choice.tool_calls
    cut_off = replace(asked, choices=(replace(choice, finish_reason="length"),))
    first, last = (json.loads(one.invoke()) for one in loop().take(cut_off))
    assert first == 2
    assert "cut off" in last["error"]
    (whole,) = loop().take(replace(cut_off, choices=(replace(choice, finish_reason="length", tool_calls=made[:1]),)))
    assert whole.invoke() == "2", "what came after it was cut off"


async def test_a_functions_own_failure_is_the_callers() -> None:
    (one,) = loop().take(answer(("fail", "{}")))
    with pytest.raises(ZeroDivisionError):
        one.invoke()
    with pytest.raises(ZeroDivisionError):
        await one.ainvoke()


def test_rounds() -> None:
    rounds = loop(2, tool_choice="required", seed=1)
    assert rounds.options["tool_choice"] == "required"
    for _ in range(2):
        (one,) = rounds.take(answer(("add", '{"a": 1}')))
        rounds.give(one, one.invoke())
        assert "tool_choice" not in rounds.options, "else the model could never answer"
    assert rounds.options["seed"] == 1
    assert [message["role"] for message in rounds.messages] == ["user", "assistant", "tool", "assistant", "tool"]
    with pytest.raises(ToolRoundsError):
        rounds.take(answer(("add", '{"a": 1}')))
    done = loop(0)
    assert done.take(answer(text="Hello")) == []
    assert done.run.answer.text == "Hello"
    assert HI == [{"role": "user", "content": "hi"}]


def test_which_tools_are_allowed_holds_for_every_round() -> None:
    named = {"type": "function", "function": {"name": "add"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    rounds = loop(2, tool_choice=choice)
    assert rounds.options["tool_choice"] == choice
    for _ in range(2):
        rounds.take(answer(("add", '{"a": 1}')))
        assert rounds.options["tool_choice"]["allowed_tools"] == {"mode": "auto", "tools": [named]}


def test_schemas() -> None:
    def book(
        city: Annotated[str, "where to"],
        days: int = 1,
        *,
        price: float | None = None,
        kind: Literal["bed", "room"] = "room",
        names: list[str] = (),
        prices: dict[str, float] | int = 0,
        anything=None,
    ) -> str:
        """Books a place."""

    assert definition("book", book)["function"] == {
        "name": "book",
        "description": "Books a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "where to"},
                "days": {"type": "integer"},
                "price": {"type": ["number", "null"]},
                "kind": {"enum": ["bed", "room"]},
                "names": {"type": "array", "items": {"type": "string"}},
                "prices": {
                    "anyOf": [{"type": "object", "additionalProperties": {"type": "number"}}, {"type": "integer"}]
                },
                "anything": {},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    }
    with pytest.raises(TypeError, match="bytes"):
        schema(bytes)
    with pytest.raises(TypeError, match="by name"):
        definition("print", lambda *parts: None)
