"""`/v1/messages`: Anthropic's form of a chat, whole and streamed, by hand and by Anthropic's own client."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import anthropic
import httpx
import pytest
from anthropic import AsyncAnthropic

from engine.request import FinishReason
from server.app import create_app
from server.auth import Keys
from server.text import Text
from tests.server.asking import HI, chat, named_events, tool
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
PATH = "/v1/messages"
COUNT = f"{PATH}/count_tokens"
NEXT = "<|start|>assistant"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather.", "input_schema": CITY}
THOUGHT = f"<|channel|>analysis<|message|>Think.<|end|>{NEXT}"
TURN = f"{THOUGHT}<|channel|>final<|message|>Hello 😀!"
PREAMBLE = f"<|channel|>commentary<|message|>I look.<|end|>{NEXT}"


def calling(arguments: str) -> str:
    return f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{arguments}"


CALL = calling('{"city": "Zürich"}')
CALLS = f"{THOUGHT}{PREAMBLE}{CALL}<|end|>{NEXT}{CALL}<|call|>"
ADAPTIVE = {"type": "adaptive"}
BLOCK = {"type": "text", "text": "hi"}


async def ask(http: httpx.AsyncClient, **body: object) -> dict:
    response = await http.post(PATH, json={"max_tokens": 200, "messages": HI} | body)
    assert response.status_code == 200, response.text
    return response.json()


async def stream(http: httpx.AsyncClient, **body: object) -> list[dict]:
    """The events, whose names are as they should be."""
    response = await http.post(PATH, json={"max_tokens": 200, "messages": HI, "stream": True} | body)
    assert response.status_code == 200, response.text
    return named_events(response.text)


def put_together(events: list[dict]) -> dict:
    """The message that the events tell of."""
    start, *within, end, stop = events
    assert (start["type"], stop) == ("message_start", {"type": "message_stop"})
    message, pieces, is_open = start["message"], {}, False
    assert (message["content"], message["stop_reason"]) == ([], None)
    for event in within:
        kind = event["type"]
        assert is_open == (kind != "content_block_start")
        is_open = kind != "content_block_stop"
        assert event["index"] == len(message["content"]) - (kind != "content_block_start")
        if kind == "content_block_start":
            message["content"].append(event["content_block"])
            pieces = {}
        elif kind == "content_block_delta":
            (name,) = event["delta"].keys() - {"type"}
            pieces[name] = pieces.get(name, "") + event["delta"][name]
        elif "partial_json" in pieces:
            message["content"][-1]["input"] = json.loads(pieces["partial_json"])
        else:
            message["content"][-1] |= pieces
    assert not is_open
    return message | end["delta"] | {"usage": end["usage"]}


def nameless(message: dict) -> dict:
    content = [{name: value for name, value in block.items() if name != "id"} for block in message["content"]]
    return {**message, "id": None, "content": content}


async def test_an_answer(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: replace(say(TURN), cached_tokens=5)
    answer = await ask(http, thinking=ADAPTIVE)
    assert answer.pop("id").startswith("msg_")
    usage = answer.pop("usage")
    assert answer == {
        "type": "message", "role": "assistant", "model": "tiny", "stop_reason": "end_turn", "stop_sequence": None,
        "content": [
            {"type": "thinking", "thinking": "Think.", "signature": "carousel:"},
            {"type": "text", "text": "Hello 😀!"},
        ],
    }  # fmt: skip
    prompt = len(engine.submitted[-1].prompt_token_ids)
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (prompt - 5, 5)
    assert usage["output_tokens_details"] == {"thinking_tokens": len("Think.")}


async def test_it_is_the_chat_in_other_words(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    """What the model is shown, and how it is sampled and held, is the same."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    await chat(
        http,
        messages=[{"role": "system", "content": "Be brief.\n\nBe kind."}, *HI],
        tools=[tool("get_weather", description="The weather.", parameters=CITY, strict=True)],
        parallel_tool_calls=False, reasoning_effort="high", temperature=0.5, top_p=0.9, top_k=3, stop=["END"],
        max_completion_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
    )  # fmt: skip
    await ask(
        http,
        system=[BLOCK | {"text": "Be brief.", "cache_control": {"type": "ephemeral"}}, BLOCK | {"text": "Be kind."}],
        tools=[WEATHER | {"strict": True, "cache_control": {"type": "ephemeral"}}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": schema}},
        temperature=0.5, top_p=0.9, top_k=3, stop_sequences=["END"],
    )  # fmt: skip
    as_chat, as_message = engine.submitted
    assert as_chat.prompt_token_ids == as_message.prompt_token_ids
    assert as_chat.sampling == as_message.sampling
    assert as_chat.sampling.grammar is not None
    for choice, same in (
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "get_weather"}, {"type": "function", "function": {"name": "get_weather"}}),
    ):
        shown = tool("get_weather", description="The weather.", parameters=CITY)
        await chat(http, tools=[shown], tool_choice=same, max_completion_tokens=200)
        await ask(http, tools=[WEATHER], tool_choice=choice)
        as_chat, as_message = engine.submitted[-2:]
        assert as_chat.prompt_token_ids == as_message.prompt_token_ids
        assert as_chat.sampling == as_message.sampling


async def test_a_conversation_is_the_chats(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    await chat(
        http,
        messages=[
            *HI,
            {
                "role": "assistant", "content": "I look.", "reasoning": "Think.",
                "tool_calls": [
                    {"id": name, "function": {"name": "get_weather", "arguments": f'{{"city": "{city}"}}'}}
                    for name, city in (("a", "Rom"), ("b", "Zürich"))
                ],
            },
            {"role": "tool", "tool_call_id": "b", "content": "18\n\ndegrees"},
            {"role": "tool", "tool_call_id": "a", "content": "Error"},
            {"role": "user", "content": "Well?\n\nNow?"},
        ],
        tools=[tool("get_weather", description="The weather.", parameters=CITY)],
    )  # fmt: skip
    said = [
        {"type": "thinking", "thinking": "Think.", "signature": "somebody's"},
        {"type": "redacted_thinking", "data": "somebody's"},
        {"type": "text", "text": "I look.", "citations": None},
        {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Rom"}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "b", "name": "get_weather", "input": {"city": "Zürich"}},
    ]
    results = [
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "content": [{"type": "text", "text": t} for t in ("18", "degrees")],
        },
        {"type": "tool_result", "tool_use_id": "a", "is_error": True},
        {"type": "text", "text": "Well?"},
        {"type": "text", "text": "Now?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    messages = [
        *HI,
        {"role": "assistant", "content": []},
        {"role": "assistant", "content": said[:3]},
        {"role": "assistant", "content": said[3:]},
        {"role": "user", "content": results},
    ]
    await ask(http, messages=messages, tools=[WEATHER])
    as_chat, as_message = engine.submitted
    assert as_chat.prompt_token_ids == as_message.prompt_token_ids
    reminder = {"role": "system", "content": "Hurry."}
    for place in (4, 5):
        await ask(http, messages=[*messages[:place], reminder, *messages[place:], *HI], tools=[WEATHER])
    between, behind = (request.prompt_token_ids for request in engine.submitted[-2:])
    assert between == behind, "nothing comes between calls and their results"


async def test_what_the_system_says_on_the_way_stands_where_it_is(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text
) -> None:
    """In front of everything it would make another prompt of all that is kept. What is new in each request is left
    out: Claude Code tells its own server of it."""
    billing = BLOCK | {"text": "x-anthropic-billing-header: cc_version=2.1; cch=1;"}
    reminder = {"role": "system", "content": [billing, BLOCK | {"text": "Hurry."}]}
    early = {"role": "system", "content": "Be kind."}
    spoken = [early, *HI, {"role": "assistant", "content": "Hello!"}, *HI]
    billed = BLOCK | {"text": f"{billing['text']}\nBe brief."}
    await ask(http, system=[billing, billed], messages=[*spoken, reminder])
    await ask(http, system="Be brief.\n\nBe kind.", messages=spoken[1:])
    with_reminder, without = (text.tokenizer.decode(request.prompt_token_ids) for request in engine.submitted)
    start = without.removesuffix(NEXT)
    assert with_reminder == f"{start}<|start|>developer<|message|># Instructions\n\nHurry.<|end|>{NEXT}"


async def test_pictures_in_results_are_told_of(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    call = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {}}
    content = [BLOCK, {"type": "image", "source": {"type": "base64", "data": "x"}}, {"type": "document", "source": {}}]
    results = [RESULT | {"content": content, "is_error": True}]
    await ask(http, messages=[*HI, {"role": "assistant", "content": [call]}, {"role": "user", "content": results}])
    shown = "Error: hi\n\n[an image, which cannot be seen here]\n\n[a document, which cannot be read here]<|end|>"
    assert shown in text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)


async def test_many_tools_with_examples(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    tools = [{"name": f"t{at}", "input_schema": {}} for at in range(200)]
    tools[7] |= {"description": "Seven.", "input_examples": [{"a": 1}, {"a": "ü"}]}
    response = await http.post(COUNT, json={"messages": HI, "tools": tools})
    assert response.json()["input_tokens"] > 200 * 10, response.text
    await ask(http, tools=tools[5:9])
    shown = text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)
    assert '// Seven.\n// \n// Examples:\n// {"a": 1}\n// {"a": "ü"}\ntype t7' in shown


@pytest.mark.parametrize("per_step", [1, 4, 1000])
@pytest.mark.parametrize("thinking", [None, ADAPTIVE, {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}])
@pytest.mark.parametrize("written", [TURN, CALLS, "Hello!", "", f"{THOUGHT}{calling('{')}<|call|>", THOUGHT])
async def test_streamed_as_not_streamed(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, written: str, thinking: dict | None, per_step: int
) -> None:
    engine.play = lambda request: say(written, per_step=per_step)
    asked = {"tools": [WEATHER], "thinking": thinking}
    whole = await ask(http, **asked)
    assert nameless(put_together(await stream(http, **asked))) == nameless(whole)


async def test_calls(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    """Reasoning is sent where it is needed again, a preamble is a text of its own, each call is a block."""
    engine.play = lambda request: say(CALLS)
    answer = await ask(http, tools=[WEATHER])
    thinking, preamble, *calls = answer["content"]
    assert (thinking["thinking"], preamble["text"]) == ("Think.", "I look.")
    assert [(call["type"], call["name"], call["input"]) for call in calls] == [
        ("tool_use", "get_weather", {"city": "Zürich"})
    ] * 2
    assert len({call["id"] for call in calls}) == 2
    assert answer["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    "arguments", ['{"a": 1e999}', "[1]", '{"city": ', "Zürich", '{"city": NaN}', '{"a": "\\ud800"}']
)
async def test_what_is_no_object_is_kept_in_one(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, arguments: str
) -> None:
    engine.play = lambda request: say(f"{calling(arguments)}<|call|>")
    (call,) = (await ask(http, tools=[WEATHER]))["content"]
    assert call["input"] == {"arguments": arguments}


async def test_reasoning_is_sent_where_it_is_wanted(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN)
    kinds = {}
    for name, told in {
        "nothing": {}, "adaptive": {"thinking": ADAPTIVE}, "tools": {"tools": [WEATHER]},
        "tools, no thinking": {"tools": [WEATHER], "thinking": {"type": "disabled"}},
    }.items():  # fmt: skip
        kinds[name] = [block["type"] for block in (await ask(http, **told))["content"]]
    assert kinds == {
        "nothing": ["text"],
        "adaptive": ["thinking", "text"],
        "tools": ["thinking", "text"],
        "tools, no thinking": ["text"],
    }
    assert engine.submitted[-1].sampling.grammar is not None  # Which has no reasoning.


async def test_omitted_reasoning_comes_back_by_its_signature(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    engine.play = lambda request: say(CALLS)
    answer = await ask(http, tools=[WEATHER], thinking={"type": "adaptive", "display": "omitted"})
    thinking, _, first, second = answer["content"]
    assert thinking["thinking"] == ""
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "18"} for call in (first, second)]
    turns = [*HI, {"role": "assistant", "content": answer["content"]}, {"role": "user", "content": results}]
    await ask(http, tools=[WEATHER], messages=turns)
    assert "<|channel|>analysis<|message|>Think." in text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)


async def test_how_it_ends(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN)
    answer = await ask(http, stop_sequences=["lo", "never"])
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "lo")
    assert answer["content"] == [{"type": "text", "text": "Hel"}]
    engine.play = lambda request: say(TURN, finish=FinishReason.LENGTH)
    assert (await ask(http))["stop_reason"] == "max_tokens"
    answer = await ask(http, max_tokens=32_000)
    assert answer["stop_reason"] == "model_context_window_exceeded"
    submitted = engine.submitted[-1]
    assert submitted.sampling.max_tokens == engine.info.max_model_len - len(submitted.prompt_token_ids)


async def test_tokens_are_counted(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    shown = {"messages": HI, "system": "Be brief.", "tools": [WEATHER], "thinking": ADAPTIVE}
    counted = (await http.post(COUNT, json=shown)).json()
    unfinished = {"messages": [*HI, {"role": "assistant", "content": "I"}]}
    assert (await http.post(COUNT, json=unfinished)).status_code == 200, "for an answer it would be refused"
    answer = await ask(http, **shown)
    assert counted == {"input_tokens": answer["usage"]["input_tokens"]}
    assert len(engine.submitted) == 1


RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "18"}
FORMAT = {"type": "json_schema", "schema": {"not": {}}}
UNSIGNED = {"type": "thinking", "thinking": "", "signature": "carousel:_"}
REFUSED = [
    ({"messages": [{"role": "user", "content": [BLOCK, {"type": "image", "source": {}}]}]},
     "messages[0].content[1]", "type image is not supported"),
    ({"messages": [{"role": "user", "content": [RESULT | {"content": [{"type": "search_result"}]}]}]},
     "messages[0].content[0].content[0]", "type search_result is not supported"),
    ({"messages": [*HI, {"role": "assistant", "content": [BLOCK, UNSIGNED]}, *HI]}, "messages", "the signature of"),
    ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "messages[0].content[0]", "a block with a type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text", "is required"),
    ({"messages": [{"role": "assistant", "content": [RESULT]}, *HI]},
     "messages[0]", "tool_result blocks are not allowed in assistant messages"),
    ({"messages": [*HI, {"role": "assistant", "content": "I"}]}, "messages", "must be from the user"),
    ({"messages": [*HI, {"role": "assistant", "content": "I"}, {"role": "system", "content": "x"}]},
     "messages", "must be from the user"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": [*HI, {"role": "user", "content": [RESULT]}]}, "messages[1]", "there is no tool_use 'a'"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({"max_tokens": None}, "max_tokens", "is required"),
    ({"model": "other"}, "model", "does not exist"),
    ({"tools": [{"type": "web_search_20260209", "name": "web_search"}]}, "tools[0]", "type web_search_20260209"),
    ({"tools": [WEATHER, WEATHER]}, "tools", "two functions"),
    ({"tools": [WEATHER | {"input_schema": {"type": "array"}}]}, "tools[0].input_schema", "type object"),
    ({"tools": [WEATHER | {"defer_loading": True}]}, "tools[0].defer_loading", "is not supported"),
    ({"tool_choice": {"type": "any"}}, "tool_choice", "when there are tools"),
    ({"tool_choice": {"type": "tool", "name": "now"}, "tools": [WEATHER]}, "tool_choice", "no function now"),
    ({"tool_choice": {"type": "tool"}, "tools": [WEATHER]}, "tool_choice", "name is for type tool"),
    ({"stop_sequences": [""]}, "stop_sequences", "stop_sequences"),
    ({"stop": "END"}, "stop", "is not supported"),
    ({"temperature": 9}, "temperature", "must be in"),
    ({"output_config": {"format": FORMAT}}, "output_config.format", "output_config.format"),
    ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
     "context_management.edits[0].type", "clear_thinking"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers", "is not supported"),
    ({"messages": [{"role": "user", "content": "x" * 5000}]}, "messages", "prompt is too long: 5"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param", "said"), REFUSED)
async def test_refused(http: httpx.AsyncClient, engine: ScriptedEngine, body: dict, param: str, said: str) -> None:
    response = await http.post(PATH, json={"max_tokens": 200, "messages": HI} | body)
    error = response.json()
    assert error["type"] == "error"
    assert error["error"]["type"] == ("not_found_error" if param == "model" else "invalid_request_error")
    assert (error["error"]["param"], response.status_code) == (param, 404 if param == "model" else 400)
    assert said in error["error"]["message"]
    assert engine.submitted == []


async def test_what_changes_nothing_is_taken(http: httpx.AsyncClient) -> None:
    await ask(
        http,
        output_format=None, metadata={"user_id": "x"}, service_tier="auto", cache_control={"type": "ephemeral"},
        speed="fast",
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, mcp_servers=[],
        diagnostics={"previous_message_id": None}, system=None, tools=None, stop_sequences=None,
    )  # fmt: skip


async def test_an_error_on_the_way(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("Hel", finish=FinishReason.ERROR, error="the engine failed")
    response = await http.post(PATH, json={"max_tokens": 9, "messages": HI})
    assert (response.status_code, response.json()["error"]["type"]) == (500, "api_error")
    *_, last = await stream(http)
    assert last["type"] == "error"
    assert (last["error"]["type"], last["error"]["message"]) == ("api_error", "the engine failed")


async def test_errors_have_this_form_wherever_they_are_found(engine: ScriptedEngine, text: Text) -> None:
    app = create_app(engine, text, replace(SETTINGS, keys=Keys.of(["secret"])))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        mine = {"x-api-key": "secret"}
        assert (await http.post(PATH, json={"max_tokens": 9, "messages": HI}, headers=mine)).status_code == 200
        for response, kind in (
            (await http.post(PATH, json={}), "authentication_error"),
            (await http.post(PATH, json={}, headers={"x-api-key": "other"}), "authentication_error"),
            (await http.get(PATH, headers=mine), "invalid_request_error"),
            (await http.get(f"{PATH}/batches", headers=mine), "not_found_error"),
            (
                await http.post(PATH, content="{", headers=mine | {"content-type": "application/json"}),
                "invalid_request_error",
            ),
        ):
            error = response.json()
            assert (error["type"], error["error"]["type"]) == ("error", kind)
        assert "type" not in (await http.get("/v1/messagesandmore", headers=mine)).json()


@pytest.fixture
async def claude(url: str) -> AsyncIterator[AsyncAnthropic]:
    """Anthropic's own client."""
    async with AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


async def test_their_client_asks_and_streams(claude: AsyncAnthropic, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(CALLS, per_step=3)
    asked = {
        "model": "tiny", "max_tokens": 200, "messages": HI, "tools": [WEATHER], "thinking": {"type": "adaptive"},
    }  # fmt: skip
    whole = await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as streamed:
        kinds = [event.type async for event in streamed]
        final = await streamed.get_final_message()
    assert {"thinking", "text", "input_json", "signature", "message_stop"} <= set(kinds)
    assert nameless(final.model_dump()) == nameless(whole.model_dump())
    calls = [block for block in final.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Zürich"}] * 2
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"} for call in calls]
    engine.play = lambda request: say(TURN)
    turns = [*HI, {"role": "assistant", "content": final.content}, {"role": "user", "content": results}]
    answer = await claude.messages.create(**asked | {"messages": turns})
    assert [block.type for block in answer.content] == ["thinking", "text"]
    counted = await claude.messages.count_tokens(model="tiny", messages=HI)
    assert counted.input_tokens > 0


async def test_their_client_lists_the_models(claude: AsyncAnthropic) -> None:
    page = await claude.models.list()
    assert [(model.id, model.type, model.display_name) for model in page.data] == [
        ("tiny", "model", "tiny"), ("alias", "model", "alias"),
    ]  # fmt: skip
    assert (page.has_more, page.first_id, page.last_id) == (False, "tiny", "alias")
    assert page.data[0].created_at.year >= 2025
    message = await claude.messages.create(model="tiny", max_tokens=9, messages=HI)
    assert message._request_id is not None


async def test_their_client_knows_our_errors(claude: AsyncAnthropic, engine: ScriptedEngine, say: Say) -> None:
    with pytest.raises(anthropic.NotFoundError, match="served here: tiny"):
        await claude.messages.create(model="other", max_tokens=9, messages=HI)
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        await claude.messages.create(model="tiny", max_tokens=9, messages=[{"role": "user", "content": "x" * 5000}])
    engine.play = lambda request: say("Hel", finish=FinishReason.ERROR, error="the engine failed")
    with pytest.raises(anthropic.APIStatusError, match="the engine failed"):
        async with claude.messages.stream(model="tiny", max_tokens=9, messages=HI) as streamed:
            await streamed.get_final_message()
    engine.room = 0
    with pytest.raises(anthropic.RateLimitError):
        await claude.messages.create(model="tiny", max_tokens=9, messages=HI)
