"""Tools: what the model is shown, how its calls come out, what it is held to, and how results go back."""

import json
from collections.abc import Callable

import httpx
import pytest

from engine.errors import RequestError
from engine.grammar import GrammarState
from engine.request import FinishReason
from server.body import parse
from server.schemas.chat import ChatRequest
from server.schemas.tools import MAX_TOOLS
from server.text import Text
from tests.server.asking import CHAT, HI, both, called, chat, joined, joined_calls, stream, tool
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, NOW = tool("get_weather", description="The weather.", parameters=CITY), tool("now")
CALL = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Zürich"}'
NEXT = "<|start|>assistant"


def prompt_of(engine: ScriptedEngine, text: Text) -> str:
    return text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)


async def follows(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text, answers: list[str], **body: object
) -> list[bool]:
    """Which answers the grammar allows that a request for `body` leads to."""
    await chat(http, **body)
    grammar = engine.submitted[-1].sampling.grammar
    assert grammar is not None
    return [allowed(text.grammars.compile(grammar), text.tokenizer.encode_marked(answer)) for answer in answers]


def allowed(state: GrammarState, token_ids: list[int]) -> bool:
    for token_id in token_ids:
        state.advance(token_id)
        if state.error is not None:
            return False
    return True


@pytest.fixture
def engine(engine: ScriptedEngine, say: Say, text: Text) -> ScriptedEngine:
    written = f"<|channel|>analysis<|message|>Look it up.<|end|>{NEXT}{CALL}"
    engine.play = lambda request: say(written, stop_token_id=text.tokenizer.special_ids["<|call|>"])
    return engine


async def test_a_call(http: httpx.AsyncClient) -> None:
    answer = await chat(http, tools=[WEATHER])
    (choice,) = answer["choices"]
    message = choice["message"]
    (call,) = message.pop("tool_calls")
    assert call.pop("id").startswith("call_")
    assert call == {"type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Zürich"}'}}
    assert message == {
        "role": "assistant", "content": None, "refusal": None,
        "reasoning": "Look it up.", "reasoning_content": "Look it up.",
    }  # fmt: skip
    assert choice["finish_reason"] == "tool_calls"
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == len("Look it up.")


@pytest.mark.parametrize("per_step", [1, 7, 1000])
async def test_a_streamed_call(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text, per_step: int
) -> None:
    end = text.tokenizer.special_ids["<|call|>"]
    engine.play = lambda request: say(CALL, per_step=per_step, stop_token_id=end)
    role, begin, *fragments, last = await stream(http, tools=[WEATHER])
    assert role["choices"][0]["delta"]["role"] == "assistant"
    (call,) = begin["choices"][0]["delta"].pop("tool_calls")
    assert call.pop("id").startswith("call_")
    assert call == {"index": 0, "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    assert begin["choices"][0]["delta"] == {}
    pieces = [chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for chunk in fragments]
    assert "".join(pieces) == '{"city": "Zürich"}'
    if per_step == 1:
        assert len(pieces) == len('{"city": "Zürich"}'), "every character as soon as it is there"
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == "tool_calls"


async def test_several_calls(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    written = (
        f"<|channel|>commentary<|message|>Two calls.<|end|>{NEXT}{CALL}<|call|>"
        f"{NEXT} to=functions.now<|channel|>commentary json<|message|>{{}}<|call|>"
        f"{NEXT}<|channel|>analysis<|message|>Again.<|end|>{NEXT}{CALL}"
    )
    for per_step in (1, 5, 1000):
        engine.play = lambda request, per_step=per_step: say(written, per_step=per_step)
        choice = await both(http, tools=[WEATHER, NOW])
        weather = ("get_weather", '{"city": "Zürich"}')
        assert called(choice) == [weather, ("now", "{}"), weather]
        assert choice["message"]["content"] == "Two calls."
        assert choice["message"]["reasoning"] == "Again."
        assert choice["finish_reason"] == "tool_calls"
        ids = [call["id"] for call in choice["message"]["tool_calls"]]
        assert len(set(ids)) == 3
        chunks = await stream(http, tools=[WEATHER, NOW])
        calls = [call for c in chunks for call in c["choices"][0]["delta"].get("tool_calls", ())]
        assert [call["index"] for call in calls if "id" in call] == [0, 1, 2]


async def test_one_call_at_a_time(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(f"{CALL}<|end|>{NEXT}{CALL}<|end|>", per_step=9)
    choice = await both(http, tools=[WEATHER], parallel_tool_calls=False)
    assert called(choice) == [("get_weather", '{"city": "Zürich"}')]
    assert choice["finish_reason"] == "tool_calls"
    assert len(engine.aborted) == 2


async def test_calls_of_several_choices(http: httpx.AsyncClient) -> None:
    answer = await chat(http, tools=[WEATHER], n=3)
    ids = [choice["message"]["tool_calls"][0]["id"] for choice in answer["choices"]]
    assert len(set(ids)) == 3
    chunks = await stream(http, tools=[WEATHER], n=3)
    assert all(len(joined_calls(chunks, index)) == 1 for index in range(3))


async def test_a_call_cut_off(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(CALL[:-4], finish=FinishReason.LENGTH)
    choice = await both(http, tools=[WEATHER])
    assert called(choice) == [("get_weather", '{"city": "Züri')]
    assert choice["finish_reason"] == "length"


async def test_a_call_that_ends_in_its_header(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    end = text.tokenizer.special_ids["<|call|>"]
    engine.play = lambda request: say("<|channel|>commentary to=functions.now", stop_token_id=end)
    choice = await both(http, tools=[NOW])
    assert called(choice) == [("now", "")]
    assert choice["finish_reason"] == "tool_calls"


async def test_stop_strings_look_at_final_messages_only(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say
) -> None:
    preamble = f"<|channel|>commentary<|message|>a city<|end|>{NEXT}"
    engine.play = lambda request: say(preamble + CALL)
    choice = await both(http, tools=[WEATHER], stop="city")
    assert called(choice) == [("get_weather", '{"city": "Zürich"}')]
    assert choice["message"]["content"] == "a city"
    engine.play = lambda request: say(f"{CALL}<|call|>{NEXT}<|channel|>final<|message|>The city", hangs=True)
    choice = await both(http, tools=[WEATHER], stop="city")
    assert (choice["message"]["content"], choice["finish_reason"], choice["stop_reason"]) == ("The ", "stop", "city")
    assert len(called(choice)) == 1


async def test_no_stop_string_reaches_over_two_messages(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say
) -> None:
    engine.play = lambda request: say(f"<|channel|>final<|message|>in ci<|end|>{NEXT}<|channel|>final<|message|>ty")
    choice = await both(http, stop="city")
    assert (choice["message"]["content"], choice["stop_reason"]) == ("in ci\n\nty", None)


async def test_held_back_text_comes_before_a_call(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    written = f"<|channel|>final<|message|>in ci<|end|>{NEXT}{CALL}<|call|>{NEXT}<|channel|>final<|message|>ty"
    engine.play = lambda request: say(written)
    choice = await both(http, tools=[WEATHER], stop="city")
    assert (choice["message"]["content"], choice["stop_reason"]) == ("in ci\n\nty", None)
    chunks = await stream(http, tools=[WEATHER], stop="city")
    kinds = [key for c in chunks[1:] for key in c["choices"][0]["delta"]]
    assert kinds.index("tool_calls") == kinds.count("content") - len("ty")


@pytest.mark.parametrize(
    ("recipient", "name"),
    [
        ("functions.other", "other"),
        ("other", "other"),
        ("functions:get_weather", "get_weather"),
        ("repo_browser.open_file", "repo_browser.open_file"),
        ("container.exec", "container.exec"),
        ("functions.container.exec", "container.exec"),
        ("python.run", "python.run"),
    ],
)
@pytest.mark.parametrize("header", ["<|channel|>commentary to={} json", " to={}<|channel|>analysis code"])
async def test_a_function_that_was_not_offered(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, header: str, recipient: str, name: str
) -> None:
    engine.play = lambda request: say(f"{header.format(recipient)}<|message|>{{}}")
    choice = await both(http, tools=[WEATHER])
    assert (called(choice), choice["message"]["content"], choice["finish_reason"]) == (
        [(name, "{}")],
        None,
        "tool_calls",
    )


@pytest.mark.parametrize("recipient", ["python", "browser", "browser.search"])
async def test_the_model_s_own_tools_are_content(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, recipient: str
) -> None:
    engine.play = lambda request: say(f"<|channel|>commentary to={recipient}<|message|>print(1)")
    choice = await both(http, tools=[WEATHER])
    assert (called(choice), choice["message"]["content"], choice["finish_reason"]) == ([], "print(1)", "stop")
    if recipient == "python":
        assert called(await both(http, tools=[tool("python")])) == [("python", "print(1)")]


async def test_no_tools_no_calls(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    for body in ({}, {"tools": [WEATHER], "tool_choice": "none"}, {"tools": []}):
        choice = await both(http, **body)
        assert "tool_calls" not in choice["message"]
        assert choice["message"]["content"] == '{"city": "Zürich"}'
        assert choice["finish_reason"] == "stop"
        assert "get_weather" not in prompt_of(engine, text)


async def test_logprobs_are_those_of_the_content(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    assert (await chat(http, tools=[WEATHER], logprobs=True))["choices"][0]["logprobs"]["content"] == []
    engine.play = lambda request: say(f"<|channel|>commentary<|message|>Well.<|end|>{NEXT}{CALL}<|call|>")
    for chunks in (
        [await chat(http, tools=[WEATHER], logprobs=True)],
        await stream(http, tools=[WEATHER], logprobs=True),
    ):
        scored = [e for chunk in chunks for c in chunk["choices"] if c["logprobs"] for e in c["logprobs"]["content"]]
        assert bytes(byte for entry in scored for byte in entry["bytes"]) == b"Well."


async def test_the_model_is_shown_the_tools(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    await chat(http, tools=[WEATHER, NOW])
    prompt = prompt_of(engine, text)
    assert "namespace functions {\n\n// The weather.\ntype get_weather = (_: {\ncity: string,\n}) => any;" in prompt
    assert "type now = () => any;" in prompt
    assert engine.submitted[-1].sampling.grammar is None, "left alone, the model does what it was taught"


async def test_a_tool_loop(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text) -> None:
    """What came out goes back in, twice: the model sees its own calls and reasoning until it has answered."""
    messages: list[dict] = [*HI]
    for result in ("rain", "sun"):
        message = (await chat(http, tools=[WEATHER], messages=messages))["choices"][0]["message"]
        (call,) = message["tool_calls"]
        messages += [message, {"role": "tool", "tool_call_id": call["id"], "content": result}]
    await chat(http, tools=[WEATHER], messages=messages)
    turn = (
        "<|start|>assistant<|channel|>analysis<|message|>Look it up.<|end|>"
        "<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>"
        '{"city": "Zürich"}<|call|>'
        "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>"
    )
    assert prompt_of(engine, text).endswith(
        f"<|start|>user<|message|>hi<|end|>{turn}rain<|end|>{turn}sun<|end|><|start|>assistant"
    )
    engine.play = lambda request: say("<|channel|>final<|message|>Done.")
    messages += [(await chat(http, tools=[WEATHER], messages=messages))["choices"][0]["message"], *HI]
    await chat(http, tools=[WEATHER], messages=messages)
    prompt = prompt_of(engine, text)
    assert prompt.count("to=functions.get_weather") == 2
    assert "Look it up." not in prompt, "once there was an answer, its reasoning is over"


async def test_who_sends_the_other_apis_shape_is_told_this_ones(http: httpx.AsyncClient) -> None:
    flat = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "now"}]}
    answer = await http.post("/v1/chat/completions", json={"messages": HI, "tools": [NOW], "tool_choice": flat})
    assert answer.status_code == 400
    assert '"allowed_tools": {"mode": …, "tools": [' in answer.json()["error"]["message"]


async def test_what_is_not_allowed_is_shown_all_the_same(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    for choice in ("auto", allow("auto", "now"), allow("required", "now")):
        await chat(http, tools=[WEATHER, NOW], tool_choice=choice)
    assert len({tuple(request.prompt_token_ids) for request in engine.submitted}) == 1


async def test_results_of_parallel_calls(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    calls = [{"id": i, "type": "function", "function": {"name": "now", "arguments": f'{{"i":{i}}}'}} for i in "12"]
    results = [{"role": "tool", "tool_call_id": i, "content": f"result {i}"} for i in "21"]
    await chat(http, tools=[NOW], messages=[*HI, {"role": "assistant", "tool_calls": calls}, *results])
    prompt = prompt_of(engine, text)
    order = [prompt.index(part) for part in ('{"i":1}', "result 1", '{"i":2}', "result 2")]
    assert order == sorted(order)


GOOD = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city":"Rome"}'
ROLE_PART = ' to=functions.get_weather<|channel|>commentary json<|message|>{ "city": "Rome"}'
BAD_ARGUMENTS = '<|channel|>commentary to=functions.get_weather<|message|>{"city":5}'
OTHER = "<|channel|>commentary to=functions.other<|message|>{}"
FINAL = "<|channel|>final<|message|>It rains."
THOUGHT = f"<|channel|>analysis<|message|>Hm.<|end|>{NEXT}"
PREAMBLE = f"<|channel|>commentary<|message|>Let me see.<|end|>{NEXT}"
TURNS = [
    GOOD,
    ROLE_PART,
    BAD_ARGUMENTS,
    OTHER,
    FINAL,
    THOUGHT + GOOD,
    THOUGHT * 2 + GOOD,
    PREAMBLE + GOOD,
    f"{GOOD}<|end|>{NEXT}{GOOD}",
]


def allow(mode: str, *names: str) -> dict:
    named = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tool_choice": "required"}, [1, 1, 0, 0, 0, 1, 0, 0, 1]),
        ({"tool_choice": allow("required", "get_weather")}, [1, 1, 0, 0, 0, 1, 0, 0, 1]),
        ({"tool_choice": allow("auto", "get_weather", "now")}, [1, 1, 0, 0, 1, 1, 1, 1, 1]),
        ({"tool_choice": allow("auto", "now")}, [0, 0, 0, 0, 1, 0, 0, 0, 0]),
        ({"tool_choice": allow("required", "now")}, [0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (
            {"tool_choice": allow("required", "get_weather"), "parallel_tool_calls": False},
            [1, 1, 0, 0, 0, 1, 0, 0, 0],
        ),
        (
            {"tool_choice": allow("auto", "get_weather"), "response_format": {"type": "json_object"}},
            [1, 1, 0, 0, 0, 1, 0, 0, 1],
        ),
        (
            {"tool_choice": allow("auto", "get_weather"), "reasoning_effort": "none"},
            [1, 1, 0, 0, 1, 0, 0, 1, 1],
        ),
        ({"tool_choice": "required", "parallel_tool_calls": False}, [1, 1, 0, 0, 0, 1, 0, 0, 0]),
        ({"tool_choice": {"type": "function", "function": {"name": "get_weather"}}}, [1, 1, 0, 0, 0, 1, 0, 0, 0]),
        ({"tool_choice": {"type": "function", "function": {"name": "now"}}}, [0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ({"tool_choice": "required", "reasoning_effort": "none"}, [1, 1, 0, 0, 0, 0, 0, 0, 1]),
        ({"reasoning_effort": "none"}, [1, 1, 0, 0, 1, 0, 0, 1, 1]),
        ({"response_format": {"type": "json_object"}}, [1, 1, 0, 0, 0, 1, 0, 0, 1]),
        (
            {"tools": [tool("get_weather", parameters=CITY, strict=True), NOW]},
            [1, 1, 0, 0, 1, 1, 1, 1, 1],
        ),
    ],
)
async def test_what_a_turn_is_held_to(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text, body: dict, expected: list[int]
) -> None:
    assert await follows(http, engine, text, TURNS, **({"tools": [WEATHER, NOW]} | body)) == list(map(bool, expected))


@pytest.mark.parametrize(
    ("parameters", "good", "bad"),
    [
        (None, "{}", '{"a":1}'),
        ({}, '{"a":[1]}', "[]"),
        ({"properties": {"a": {"type": "null"}}}, '{"a":null}', "1"),
        (CITY, '{"city":"x","more":1}', '{"more":1}'),
        (CITY | {"additionalProperties": False}, '{"city":"\\"}"}', '{"city":"x","more":1}'),
        ({"$ref": "#/$defs/a", "$defs": {"a": CITY}}, '{"city":"x"}', '{"a"}'),
    ],
)
async def test_what_arguments_are_held_to(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text, parameters: dict | None, good: str, bad: str
) -> None:
    head = "<|channel|>commentary to=functions.f<|message|>"
    answers = [f"{head}{arguments}<|call|>" for arguments in (good, bad)]
    for strict in (True, False):
        offered = tool("f", strict=strict) if parameters is None else tool("f", strict=strict, parameters=parameters)
        assert await follows(http, engine, text, answers, tools=[offered], tool_choice="required") == [True, False]


async def test_a_name_that_begins_like_another(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    tools = [tool("get", parameters=CITY), tool("get_all"), tool("get-it", parameters={"required": ["it"]})]
    calls = {"get": '{"city":"x"}', "get_all": "{}", "get-it": '{"it":1}'}
    answers = [
        f"<|channel|>commentary to=functions.{name}{kind}<|message|>{arguments}<|call|>"
        for name in calls
        for arguments in calls.values()
        for kind in ("", " json", " <|constrain|>json", "<|constrain|>json")
    ]
    expected = [name == other for name in calls for other in calls for _ in range(4)]
    assert await follows(http, engine, text, answers, tools=tools, tool_choice="required") == expected


def test_how_many_there_may_be() -> None:
    for count in (MAX_TOOLS, MAX_TOOLS + 1):
        body = json.dumps({"messages": HI, "tools": [tool(f"f{i}") for i in range(count)]}).encode()
        if count == MAX_TOOLS:
            assert len(parse(ChatRequest, body).tools) == MAX_TOOLS
        else:
            with pytest.raises(RequestError, match="tools: List should have at most 1024 items"):
                parse(ChatRequest, body)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [tool("")]}, "tools[0].function.name"),
        ({"tools": [tool("a b")]}, "tools[0].function.name"),
        ({"tools": [tool("f\n")]}, "tools[0].function.name"),
        ({"tools": [tool("ä")]}, "tools[0].function.name"),
        ({"tools": [tool("x" * 65)]}, "tools[0].function.name"),
        ({"tools": [tool("f"), tool("f")]}, "tools"),
        ({"tools": [tool("f", parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [tool("f", parameters={"type": "string"})]}, "tools[0].function.parameters"),
        ({"tools": [tool("f", parameters={"properties": {"a": {"type": "nope"}}}, strict=True)]}, "tools"),
        ({"tools": [tool("f", parameters={"properties": {"a": {"not": {}}}}, strict=True)]}, "tools"),
        ({"tools": [tool("f", parameters={"$ref": "http://elsewhere"})], "tool_choice": "required"}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        ({"tool_choice": "always", "tools": [NOW]}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}, "tools": [NOW]}, "tool_choice"),
        ({"tool_choice": {"type": "function"}, "tools": [NOW]}, "tool_choice"),
        ({"tool_choice": allow("auto", "now", "other"), "tools": [NOW]}, "tool_choice"),
        ({"tool_choice": allow("auto"), "tools": [NOW]}, "tool_choice"),
        ({"tool_choice": allow("none", "now"), "tools": [NOW]}, "tool_choice"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": {"name": "f"}}, "function_call"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_is_refused(
    http: httpx.AsyncClient, engine: ScriptedEngine, fields: dict, param: str, streamed: bool
) -> None:
    response = await http.post(CHAT, json={"messages": HI, "stream": streamed} | fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert engine.submitted == []


async def test_arguments_that_are_no_json_go_out_as_they_are(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    broken = '{"city": "Zür\n\\ud83d", }'
    engine.play = lambda request: say(f"<|channel|>commentary to=functions.get_weather<|message|>{broken}<|call|>")
    message = (await both(http, tools=[WEATHER]))["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == broken
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "?"}
    await chat(http, tools=[WEATHER], messages=[*HI, message, result])
    assert json.dumps(broken)[1:9] in json.dumps(prompt_of(engine, text)), "and back in"
    assert joined(await stream(http, tools=[WEATHER]), "content") is None
