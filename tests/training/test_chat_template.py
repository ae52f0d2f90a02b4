"""What the template that ships with the model writes, to the letter."""

from pathlib import Path
from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from engine.prompt.chat import ChatRenderer, Conversation
from engine.prompt.harmony import HarmonyRenderer
from engine.prompt.tokenizer import Tokenizer as EngineTokenizer
from training.chat_format import ChatFormat

DATE = "2026-01-31"
CHANNELS = "# Valid channels: analysis, commentary, final. Channel must be included for every message."
SYSTEM = (
    "<|start|>system<|message|>You are Carousel, a small language model.\n"
    "Knowledge cutoff: 2024-06\n"
    "Current date: 2026-01-31\n\n"
    "Reasoning: medium\n\n"
    f"{CHANNELS}<|end|>"
)
SYSTEM_WITH_TOOLS = SYSTEM.replace(
    "<|end|>", "\nCalls to these tools must go to the commentary channel: 'functions'.<|end|>"
)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather\nin a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "array", "items": {"type": "integer"}},
                "tags": {"type": "array"},
                "place": {
                    "type": "object",
                    "properties": {"height": {"type": ["number", "null"], "default": 0.5}},
                    "required": ["height"],
                },
                "exact": {"type": "boolean", "nullable": True},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["city"],
        },
    },
}
NOW = {"type": "function", "function": {"name": "now", "description": "The time."}}
CALL = {
    "role": "assistant",
    "content": None,
    "thinking": "I look it up.",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "a", "content": '{"sky": "blue"}'}
ANSWER = {"role": "assistant", "content": "Blue."}
HELLO = {"role": "user", "content": "Hello!"}


def render(*messages: dict[str, Any], prompt: bool = True, **variables: Any) -> str:
    return ChatFormat().render(messages, date=DATE, add_generation_prompt=prompt, **variables)


def test_one_question() -> None:
    assert render(HELLO) == SYSTEM + "<|start|>user<|message|>Hello!<|end|><|start|>assistant"


@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_reasoning_effort(effort: str) -> None:
    expected = SYSTEM.replace("Reasoning: medium", f"Reasoning: {effort}")
    assert render(HELLO, reasoning_effort=effort).startswith(expected + "<|start|>user")


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_become_a_developer_message(role: str) -> None:
    developer = "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|>"
    assert render({"role": role, "content": "Be brief."}, prompt=False) == SYSTEM + developer
    later = render(HELLO, {"role": role, "content": "Be brief."}, prompt=False)
    assert later == SYSTEM + "<|start|>user<|message|>Hello!<|end|>" + developer


def test_empty_instructions_are_left_out() -> None:
    assert render({"role": "system", "content": ""}, HELLO) == render(HELLO)


def test_earlier_answers_lose_their_reasoning() -> None:
    answer = {"role": "assistant", "content": "Hi.", "thinking": "A greeting."}
    assert render(HELLO, answer, HELLO) == (
        SYSTEM + "<|start|>user<|message|>Hello!<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hi.<|end|>"
        "<|start|>user<|message|>Hello!<|end|><|start|>assistant"
    )


def test_a_last_answer_to_learn_from_keeps_it_and_ends_the_turn() -> None:
    answer = {"role": "assistant", "content": "Hi.", "thinking": "A greeting."}
    assert render(HELLO, answer, prompt=False) == (
        SYSTEM + "<|start|>user<|message|>Hello!<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>A greeting.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hi.<|return|>"
    )


def test_tools_are_described_in_typescript() -> None:
    rendered = render({"role": "system", "content": "Be brief."}, HELLO, tools=[WEATHER, NOW])
    assert rendered == SYSTEM_WITH_TOOLS + (
        "<|start|>developer<|message|># Instructions\n\nBe brief.\n\n"
        "# Tools\n\n## functions\n\nnamespace functions {\n\n"
        "// The weather\n// in a city.\n"
        "type get_weather = (_: {\n"
        "// Where.\n"
        "city: string,\n"
        'unit?: "celsius" | "fahrenheit", // default: celsius\n'
        "days?: number[],\n"
        "tags?: Array<any>,\n"
        "place?: {\n"
        "    height: number | null, // default: 0.5\n"
        "    },\n"
        "exact?: boolean | null,\n"
        "note?: string | null,\n"
        "}) => any;\n\n"
        "// The time.\n"
        "type now = () => any;\n\n"
        "} // namespace functions<|end|>"
        "<|start|>user<|message|>Hello!<|end|><|start|>assistant"
    )


@pytest.mark.parametrize(
    ("schema", "described"),
    [
        ({"type": "string", "enum": ["a", None, 1]}, 'x?: "a" | null | 1,'),
        ({"type": "string", "description": 5}, "// 5\nx?: string,"),
        ({"type": "string", "description": {"en": "Where."}}, '// {"en": "Where."}\nx?: string,'),
        ({"type": "string", "required": True}, "x?: string,"),
        ({"type": "object", "required": True, "properties": {"y": {"type": "integer"}}},
         "x?: {\n    y?: number,\n    },"),
        ({"type": ["string", {"type": "object"}]}, "x?: string | any,"),
    ],
)  # fmt: skip
def test_schemas_that_are_seldom_written(schema: dict[str, Any], described: str) -> None:
    function = {"name": "f", "parameters": {"type": "object", "properties": {"x": schema}}}
    rendered = render(HELLO, tools=[{"type": "function", "function": function}])
    assert f"type f = (_: {{\n{described}\n}}) => any;" in rendered


TOOL_LOOP = (
    "<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>"
    '{"city": "Oslo"}<|call|>'
    '<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>{"sky": "blue"}<|end|>'
)


def test_a_running_tool_loop_keeps_its_reasoning() -> None:
    rendered = render(HELLO, CALL, RESULT)
    assert rendered == (
        SYSTEM + "<|start|>user<|message|>Hello!<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>I look it up.<|end|>" + TOOL_LOOP + "<|start|>assistant"
    )


def test_a_finished_tool_loop_loses_it() -> None:
    rendered = render(HELLO, CALL, RESULT, ANSWER, HELLO)
    assert rendered == (
        SYSTEM + "<|start|>user<|message|>Hello!<|end|>" + TOOL_LOOP +
        "<|start|>assistant<|channel|>final<|message|>Blue.<|end|>"
        "<|start|>user<|message|>Hello!<|end|><|start|>assistant"
    )  # fmt: skip


def test_arguments_may_be_an_object_and_a_text_may_come_before_the_call() -> None:
    [call] = CALL["tool_calls"]
    function = {"name": "get_weather", "arguments": {"city": "Århus"}}
    rendered = render(
        HELLO, {"role": "assistant", "content": "One moment.", "tool_calls": [{**call, "function": function}]}
    )
    assert rendered.endswith(
        "<|start|>assistant<|channel|>commentary<|message|>One moment.<|end|>"
        "<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>"
        '{"city": "Århus"}<|call|><|start|>assistant'
    )


def test_results_are_matched_to_their_calls_by_id() -> None:
    calls = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("one", "two")]
    results = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("two", "one")]
    rendered = render(HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, *results)
    assert rendered.endswith(
        "<|start|>functions.two to=assistant<|channel|>commentary<|message|>two<|end|>"
        "<|start|>functions.one to=assistant<|channel|>commentary<|message|>one<|end|><|start|>assistant"
    )


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}]
    assert render({"role": "user", "content": parts}) == render(HELLO)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (RESULT, "must answer a tool call"),
        ({"role": "narrator", "content": "Dusk."}, "unknown role: narrator"),
    ],
)
def test_what_has_no_place_is_refused(message: dict[str, Any], reason: str) -> None:
    with pytest.raises(TemplateError, match=reason):
        render(HELLO, message)


def test_transformers_renders_the_shipped_template_alike() -> None:
    tokenizer = AutoTokenizer.from_pretrained("engine/embedded")
    messages = [{"role": "system", "content": "Be brief."}, HELLO, CALL, RESULT]
    theirs = tokenizer.apply_chat_template(
        messages, tools=[WEATHER], tokenize=False, add_generation_prompt=True, reasoning_effort="low",
        model_identity="You are a parrot.",
    )  # fmt: skip
    ours = render(*messages, tools=[WEATHER], reasoning_effort="low")
    head, _, tail = theirs.partition("\nKnowledge cutoff")
    assert head == "<|start|>system<|message|>You are a parrot."
    assert tail.partition("Reasoning")[2] == ours.partition("Reasoning")[2]


@pytest.mark.parametrize(
    "messages",
    [(HELLO,), ({"role": "system", "content": "Be brief."}, HELLO, CALL, RESULT), (HELLO, CALL, RESULT, ANSWER, HELLO)],
)
def test_the_engines_own_harmony_renderer_agrees(messages: tuple[dict[str, Any], ...]) -> None:
    directory = Path("engine/embedded")
    tokenizer = EngineTokenizer.load(directory)
    conversation = Conversation(messages=messages, tools=(NOW,), current_date=DATE)
    harmony = HarmonyRenderer(tokenizer, identity="You are Carousel, a small language model.")
    assert ChatRenderer.load(directory, tokenizer).render(conversation) == harmony.render(conversation)
