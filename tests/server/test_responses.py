"""`/v1/responses`: items in and out, streams, what is kept, what goes on in the background."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from engine.request import FinishReason
from server.app import create_app
from server.response_store import ITEM_BYTES
from server.text import Text
from tests.server.asking import HI, chat, named_events, tool
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
PATH = "/v1/responses"
NEXT = "<|start|>assistant"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "get_weather", "description": "The weather.", "parameters": CITY}
CALL = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Zürich"}'
THOUGHT = f"<|channel|>analysis<|message|>Think.<|end|>{NEXT}"
TURN = f"{THOUGHT}<|channel|>final<|message|>Hello 😀!"
CALLS = f"{THOUGHT}{CALL}<|end|>{NEXT}{CALL}<|call|>"
Events = list[dict]


async def respond(http: httpx.AsyncClient, **body: object) -> dict:
    response = await http.post(PATH, json={"input": "hi"} | body)
    assert response.status_code == 200, response.text
    return response.json()


async def stream(http: httpx.AsyncClient, **body: object) -> Events:
    """The events, whose lines, names and numbers are as they should be."""
    response = await http.post(PATH, json={"input": "hi", "stream": True} | body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    events = named_events(response.text)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def nameless(value: object) -> object:
    """Without the names that are new each time, and the times."""
    changing = ("id", "call_id", "item_id", "created_at", "completed_at")
    if isinstance(value, list):
        return [nameless(each) for each in value]
    if isinstance(value, dict):
        return {name: nameless(each) for name, each in value.items() if name not in changing}
    return value


def prompt_of(engine: ScriptedEngine, text: Text) -> str:
    return text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)


async def test_an_answer(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN)
    answer = await respond(http, instructions="Be brief.", metadata={"a": "b"}, max_output_tokens=200)
    assert answer["id"].startswith("resp_")
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "completed", "tiny")
    reasoning, message = answer["output"]
    assert reasoning.pop("id").startswith("rs_")
    assert reasoning == {
        "type": "reasoning", "status": "completed", "summary": [],
        "content": [{"type": "reasoning_text", "text": "Think."}],
    }  # fmt: skip
    assert message.pop("id").startswith("msg_")
    assert message == {
        "type": "message", "status": "completed", "role": "assistant", "phase": "final_answer",
        "content": [{"type": "output_text", "text": "Hello 😀!", "annotations": [], "logprobs": []}],
    }  # fmt: skip
    assert answer["usage"]["output_tokens_details"]["reasoning_tokens"] == len("Think.")
    assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    assert (answer["error"], answer["incomplete_details"]) == (None, None)
    assert (answer["instructions"], answer["metadata"], answer["max_output_tokens"]) == ("Be brief.", {"a": "b"}, 200)


async def test_it_is_the_chat_in_other_words(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    """What the model is shown, and how it is sampled and held, is the same."""
    engine.play = lambda request: say(CALLS)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    await chat(
        http,
        messages=[{"role": "developer", "content": "Be brief."}, *HI],
        tools=[tool("get_weather", description="The weather.", parameters=CITY, strict=True)],
        tool_choice="auto", reasoning_effort="high", temperature=0.5, top_p=0.9, seed=3, max_completion_tokens=50,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}},
    )  # fmt: skip
    await respond(
        http,
        instructions="Be brief.", tools=[WEATHER | {"strict": True}], tool_choice="auto",
        reasoning={"effort": "high"}, temperature=0.5, top_p=0.9, seed=3, max_output_tokens=50,
        text={"format": {"type": "json_schema", "name": "a", "schema": schema, "strict": True}},
    )  # fmt: skip
    as_chat, as_response = engine.submitted
    assert as_chat.prompt_token_ids == as_response.prompt_token_ids
    assert as_chat.sampling == as_response.sampling
    assert as_chat.sampling.grammar is not None
    await chat(http, tools=[tool("get_weather")], tool_choice={"type": "function", "function": {"name": "get_weather"}})
    named = {"type": "function", "name": "get_weather"}
    answer = await respond(http, tools=[{"type": "function", "name": "get_weather"}], tool_choice=named)
    assert engine.submitted[-1].sampling == engine.submitted[-2].sampling
    assert (answer["tools"], answer["tool_choice"]) == ([named], named)
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}
    both = [tool("get_weather"), tool("now")]
    await chat(http, tools=both, tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [named]}
    answer = await respond(http, tools=[named, {"type": "function", "name": "now"}], tool_choice=choice)
    assert engine.submitted[-1].sampling == engine.submitted[-2].sampling
    assert answer["tool_choice"] == choice


@pytest.mark.parametrize("per_step", [1, 4, 1000])
@pytest.mark.parametrize("written", [TURN, CALLS, "Hello!", "", f"{THOUGHT}<|channel|>analysis<|message|>More."])
async def test_streamed_as_not_streamed(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int, written: str
) -> None:
    engine.play = lambda request: say(written, per_step=per_step)
    asked = {"tools": [WEATHER], "include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}
    whole, events = await respond(http, **asked), await stream(http, **asked)
    assert [events[0]["type"], events[1]["type"]] == ["response.created", "response.in_progress"]
    assert (events[0]["response"]["output"], events[0]["response"]["status"]) == ([], "in_progress")
    assert events[-1]["type"] == "response.completed"
    assert nameless(events[-1]["response"]) == nameless(whole)
    assert put_together(events[2:-1]) == events[-1]["response"]["output"]


def put_together(events: Events) -> list[dict]:
    """The items that the events tell of: added before any of their deltas, done after them."""
    items: list[dict] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        assert event["output_index"] == len(items) - (kind != "output_item.added")
        if kind == "output_item.added":
            assert all(item["status"] != "in_progress" for item in items)
            assert event["item"]["status"] == "in_progress"
            items.append(event["item"])
            continue
        item = items[-1]
        assert kind == "output_item.done" or event["item_id"] == item["id"]
        match kind:
            case "content_part.added":
                assert event["part"]["text"] == ""
                item["content"].append(event["part"])
            case "output_text.delta":
                item["content"][0]["text"] += event["delta"]
                item["content"][0]["logprobs"] += event["logprobs"]
            case "reasoning_text.delta":
                item["content"][0]["text"] += event["delta"]
            case "function_call_arguments.delta":
                item["arguments"] += event["delta"]
            case "output_text.done" | "reasoning_text.done":
                assert event["text"] == item["content"][0]["text"]
            case "function_call_arguments.done":
                assert (event["arguments"], event["name"]) == (item["arguments"], item["name"])
            case "content_part.done":
                assert event["part"] == item["content"][0]
            case "output_item.done":
                done = event["item"]
                told = {name: value for name, value in done.items() if name != "encrypted_content"}
                assert told == {name: item[name] for name in told} | {"status": done["status"]}
                items[-1] = done
            case _:
                pytest.fail(kind)
    return items


async def test_cut_off(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("<|channel|>analysis<|message|>Thin", finish=FinishReason.LENGTH)
    answer = await respond(http, max_output_tokens=9)
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [(item["type"], item["status"]) for item in answer["output"]] == [("reasoning", "incomplete")]
    events = await stream(http, max_output_tokens=9)
    assert events[-1]["type"] == "response.incomplete"
    assert nameless(events[-1]["response"]) == nameless(answer)


async def test_failed(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    """Before anything is sent it is an HTTP error; after that the stream still ends as streams do."""
    engine.play = lambda request: say(THOUGHT + "<|channel|>final<|message|>Hel", error="the forward pass failed")
    response = await http.post(PATH, json={"input": "hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "generation_failed")
    *events, last = await stream(http)
    assert events[-1]["type"] == "response.output_item.done"
    assert last["type"] == "response.failed"
    failed = last["response"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert "the forward pass failed" in failed["error"]["message"]
    assert [(item["type"], item["status"]) for item in failed["output"]] == [
        ("reasoning", "completed"), ("message", "incomplete"),
    ]  # fmt: skip
    assert (await http.get(f"{PATH}/{failed['id']}")).json() == failed


async def test_logprobs(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(f"{THOUGHT}<|channel|>final<|message|>Hello!")
    for asked in ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, {"top_logprobs": 2}):
        answer = await respond(http, **asked)
        logprobs = answer["output"][1]["content"][0]["logprobs"]
        assert "".join(token["token"] for token in logprobs) == "Hello!"
        assert [len(token["top_logprobs"]) for token in logprobs] == [2] * 6
    assert (await respond(http))["output"][1]["content"][0]["logprobs"] == []


SECOND = [{"role": "user", "content": "And now?"}]


@pytest.mark.parametrize("written", [TURN, CALLS, f"{THOUGHT}{CALL}<|call|>"])
async def test_ways_to_go_on(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text, written: str
) -> None:
    """Items sent back whole, with the reasoning as it was included only, by their names, and by the answer's."""
    engine.play = lambda request: say(written)
    told = await respond(http, tools=[WEATHER], include=["reasoning.encrypted_content"], instructions="Old.")
    said = (await chat(http, tools=[tool("get_weather", description="The weather.", parameters=CITY)]))["choices"][0]
    calls = [item["call_id"] for item in told["output"] if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": call, "output": f"{at} degrees"} for at, call in
               enumerate(calls)] or SECOND  # fmt: skip
    items = told["output"]
    empty = [{**item, "content": []} if item["type"] == "reasoning" else item for item in items]
    sealed = [{name: value for name, value in item.items() if name != "content" or item["type"] != "reasoning"}
              for item in items]  # fmt: skip
    named = [{"type": "reasoning", "id": item["id"], "summary": []} if item["type"] == "reasoning" else item
             for item in items]  # fmt: skip
    first = {"role": "user", "content": "hi"}
    ways = [
        {"input": [first, *named, *results]},
        {"input": [{"id": item["id"]} for item in items] + results, "previous_response_id": told["id"]},
        {"input": [*items, *results], "previous_response_id": told["id"]},
        {"input": [first, *items, *results]},
        {"input": [first, *sealed, *results]},
        {"input": [first, *empty, *results]},
        {"input": [first, *({"type": "item_reference", "id": item["id"]} for item in items), *results]},
        {"input": [first, *({"id": item["id"]} for item in items), *results]},
        {"input": results, "previous_response_id": told["id"]},
    ]
    for way in ways:
        await respond(http, tools=[WEATHER], **way)
    message = said["message"]
    as_chat = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"{at} degrees"}
        for at, call in enumerate(message.get("tool_calls", ()))
    ] or SECOND
    await chat(
        http,
        messages=[*HI, message, *as_chat],
        tools=[tool("get_weather", description="The weather.", parameters=CITY)],
    )
    prompts = {request.prompt_token_ids for request in engine.submitted[-len(ways) - 1 :]}
    assert len(prompts) == 1, "and as a chat"
    assert ("Think." in prompt_of(engine, text)) == bool(calls), "only within a tool loop"
    assert "Old." not in prompt_of(engine, text)


async def test_nothing_need_be_added_to_an_answer(http: httpx.AsyncClient) -> None:
    answer = await respond(http)
    for rest in ({}, {"input": []}):
        response = await http.post(PATH, json={"previous_response_id": answer["id"]} | rest)
        assert response.status_code == 200, response.text
        response = await http.post(PATH, json=rest)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "input")


async def test_an_answer_is_as_long_as_there_is_room(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    answer = await respond(http, max_output_tokens=100_000)
    submitted = engine.submitted[-1]
    assert submitted.sampling.max_tokens == engine.info.max_model_len - len(submitted.prompt_token_ids)
    assert answer["max_output_tokens"] == 100_000


@pytest.mark.parametrize("name", ["summary", "generate_summary"])
async def test_reasoning_as_its_own_summary(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, name: str
) -> None:
    """For clients that show no other."""
    engine.play = lambda request: say(TURN, per_step=4)
    whole, events = await respond(http, reasoning={name: "auto"}), await stream(http, reasoning={name: "auto"})
    assert whole["reasoning"] == {"effort": "medium", "summary": "auto"}
    assert whole["output"][0]["summary"] == [{"type": "summary_text", "text": "Think."}]
    assert whole["output"][0]["content"] == [{"type": "reasoning_text", "text": "Think."}]
    assert nameless(events[-1]["response"]) == nameless(whole)
    told = [event for event in events if "summary" in event["type"]]
    kinds = [event["type"].removeprefix("response.reasoning_summary_") for event in told]
    assert kinds == ["part.added", "text.delta", "text.delta", "text.done", "part.done"]
    assert "".join(event["delta"] for event in told[1:3]) == told[3]["text"] == told[4]["part"]["text"] == "Think."
    assert {(event["item_id"], event["summary_index"]) for event in told} == {
        (events[-1]["response"]["output"][0]["id"], 0)
    }


async def test_what_was_read_of_an_answer_that_was_left_is_kept(
    url: str, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    """A chat that was stopped goes on from there, also in clients that send references."""
    engine.play = lambda request: say(TURN, hangs=True)
    async with httpx.AsyncClient(base_url=url) as http:
        async with http.stream("POST", PATH, json={"input": "hi", "stream": True}) as response:
            async for line in response.aiter_lines():
                event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if event.get("type") == "response.created":
                    at = f"{PATH}/{event['response']['id']}"
                if event.get("delta") == "!":
                    break
        while (left := await http.get(at)).status_code == 404:
            pass
        answer = left.json()
        assert (answer["status"], answer["output"][1]["content"][0]["text"]) == ("cancelled", "Hello 😀!")
        assert answer["output"][1]["id"] == event["item_id"]
        engine.play = lambda request: say(TURN)
        items = [{"role": "user", "content": "hi"}, {"id": event["item_id"]}, {"role": "user", "content": "And?"}]
        assert (await http.post(PATH, json={"input": items})).status_code == 200
        assert "Hello 😀!" in prompt_of(engine, text)


async def test_an_answer_that_was_read_to_its_end_is_complete(app: FastAPI, http: httpx.AsyncClient) -> None:
    """Though the client leaves before the stream is closed."""
    asked, left, said = [b'{"input": "hi", "stream": true}'], asyncio.Event(), bytearray()

    async def receive() -> dict:
        if asked:
            return {"type": "http.request", "body": asked.pop()}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        said.extend(message.get("body", b""))
        if b"event: response.completed" in said:
            left.set()
            await asyncio.Event().wait()

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": headers}
    async with asyncio.timeout(30):
        await app(scope, receive, send)
    last = named_events(said.decode())[-1]
    assert last["type"] == "response.completed"
    assert (await http.get(f"{PATH}/{last['response']['id']}")).json() == last["response"]


async def test_a_conversation_of_many_turns(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    answer = await respond(http, input="one")
    for word in ("two", "three"):
        answer = await respond(http, input=word, previous_response_id=answer["id"])
    prompt = prompt_of(engine, text)
    places = [prompt.index(part) for part in ("one", "Hello!", "two", "three")]
    assert places == sorted(places)
    assert prompt.count("Hello!") == 2


async def test_what_is_kept(http: httpx.AsyncClient) -> None:
    answer = await respond(http)
    at = f"{PATH}/{answer['id']}"
    assert (await http.get(at)).json() == answer
    assert (await http.get(at, params={"stream": "true"})).status_code == 400
    assert (await http.post(f"{at}/cancel")).status_code == 400
    assert (await http.delete(at)).json() == {"id": answer["id"], "object": "response", "deleted": True}
    for gone in (await http.get(at), await http.delete(at), await http.post(f"{at}/cancel")):
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "response_not_found")
    for refused in ({"previous_response_id": answer["id"]}, {"input": [{"type": "item_reference", "id": "msg_1"}]}):
        assert (await http.post(PATH, json={"input": "hi"} | refused)).status_code == 400
    unkept = await respond(http, store=False)
    assert (await http.get(f"{PATH}/{unkept['id']}")).status_code == 404


async def test_what_cannot_be_listed(http: httpx.AsyncClient) -> None:
    answer = await respond(http, input=[{"role": "user", "content": text, "id": "same"} for text in "abc"])
    at = f"{PATH}/{answer['id']}/input_items"
    wrong = {"limit": ["0", "101", "many"], "order": ["up"], "after": ["msg_1"], "include": ["everything"]}
    for param, value in ((param, value) for param, values in wrong.items() for value in values):
        refused = await http.get(at, params={param: value})
        assert (refused.status_code, refused.json()["error"]["param"].partition("[")[0]) == (400, param)
    of_one_name = (await http.get(at, params={"after": "same"})).json()
    assert (of_one_name["data"], of_one_name["first_id"], of_one_name["has_more"]) == ([], None, False)
    unknown = await http.get(f"{PATH}/resp_1/input_items")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "response_not_found")


async def test_what_an_answer_in_the_background_was_given(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say
) -> None:
    """By the same names while it is made, and after."""
    engine.play = lambda request: say(TURN, hangs=True)
    begun = await respond(http, background=True)
    at = f"{PATH}/{begun['id']}"
    while_made = (await http.get(f"{at}/input_items")).json()
    assert [item["content"][0]["text"] for item in while_made["data"]] == ["hi"]
    assert (await http.post(f"{at}/cancel")).json()["status"] == "cancelled"
    assert (await http.get(f"{at}/input_items")).json() == while_made


async def test_a_key_sees_its_own(engine: ScriptedEngine, text: Text, say: Say) -> None:
    from server.auth import Keys

    app = create_app(engine, text, replace(SETTINGS, keys=Keys.of(["one", "two"])))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        mine, other = ({"authorization": f"Bearer {key}"} for key in ("one", "two"))
        answer = (await http.post(PATH, json={"input": "hi"}, headers=mine)).json()
        at, item = f"{PATH}/{answer['id']}", answer["output"][0]["id"]
        assert (await http.get(at, headers=mine)).status_code == 200
        assert (await http.get(at, headers=other)).status_code == 404
        assert (await http.get(f"{at}/input_items", headers=mine)).status_code == 200
        assert (await http.get(f"{at}/input_items", headers=other)).status_code == 404
        assert (await http.delete(at, headers=other)).status_code == 404
        for body in ({"input": "hi", "previous_response_id": answer["id"]},
                     {"input": [{"type": "item_reference", "id": item}]}):  # fmt: skip
            assert (await http.post(PATH, json=body, headers=other)).status_code == 400
            assert (await http.post(PATH, json=body, headers=mine)).status_code == 200
        engine.play = lambda request: say(TURN, hangs=True)
        begun = (await http.post(PATH, json={"input": "hi", "background": True}, headers=mine)).json()
        at = f"{PATH}/{begun['id']}"
        assert (await http.delete(at, headers=other)).status_code == 404
        assert (await http.post(f"{at}/cancel", headers=other)).status_code == 404
        assert engine.aborted == []
        assert (await http.delete(at, headers=mine)).status_code == 200


async def test_no_room(engine: ScriptedEngine, text: Text) -> None:
    app = create_app(engine, text, replace(SETTINGS, stored_responses_bytes=0))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await respond(http)
        assert (await http.get(f"{PATH}/{answer['id']}")).status_code == 404
        refused = await http.post(PATH, json={"input": "hi", "background": True})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "background")
        assert engine.aborted, "nobody could ask for it"


async def test_no_room_for_another_in_the_background(engine: ScriptedEngine, say: Say, text: Text) -> None:
    """What is being made is not given up for it; once that has ended, there is room."""
    engine.play = lambda request: say(TURN, hangs=True)
    app = create_app(engine, text, replace(SETTINGS, stored_responses_bytes=6_000))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        begun = await respond(http, background=True, input="x" * 2000)
        refused = await http.post(PATH, json={"input": "x" * 2000, "background": True})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert refused.headers["retry-after"] == str(engine.retry_seconds)
        assert engine.aborted == [engine.submitted[-1].id], "nobody could ask for it"
        never = await http.post(PATH, json={"input": "x" * 2000, "metadata": {"a": "y" * 4000}, "background": True})
        assert (never.status_code, never.json()["error"]["param"]) == (400, "background")
        await http.post(f"{PATH}/{begun['id']}/cancel")
        again = await respond(http, background=True, input="x" * 2000)
        await http.post(f"{PATH}/{again['id']}/cancel")


async def test_in_the_background(http: httpx.AsyncClient, app: FastAPI, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN)
    begun = await respond(http, background=True)
    assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
    at = f"{PATH}/{begun['id']}"

    answers = []

    async def ended() -> bool:
        answers.append((await http.get(at)).json())
        return answers[-1]["status"] != "in_progress"

    while not await ended():
        pass
    assert nameless(answers[-1]) == nameless(await respond(http)) | {"background": True}
    cancelled = await http.post(f"{at}/cancel")
    assert cancelled.json() == answers[-1], "it was over"
    metrics = (await http.get("/metrics")).text
    counted = f'carousel_completion_tokens_total{{endpoint="{PATH}"}}'
    assert f"{counted} {2.0 * answers[-1]['usage']['output_tokens']}" in metrics, "those of both"
    assert f'carousel_http_requests_total{{endpoint="{PATH}",status="200"}} 2.0' in metrics
    assert app.state.server.bodies.held == 0


async def test_what_goes_on_is_counted_with_what_it_goes_on_from(
    http: httpx.AsyncClient, app: FastAPI, engine: ScriptedEngine, say: Say
) -> None:
    before = await respond(http)
    assert app.state.server.bodies.held == 0
    engine.play = lambda request: say(TURN, hangs=True)
    begun = await respond(http, background=True, previous_response_id=before["id"])
    assert app.state.server.bodies.held > 2 * ITEM_BYTES
    await http.post(f"{PATH}/{begun['id']}/cancel")
    assert app.state.server.bodies.held == 0


async def test_cancelled(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, eventually: Callable) -> None:
    engine.play = lambda request: say(TURN, hangs=True)
    begun = await respond(http, background=True)
    at = f"{PATH}/{begun['id']}"
    refused = await http.post(PATH, json={"input": "hi", "previous_response_id": begun["id"]})
    assert refused.json()["error"]["param"] == "previous_response_id"
    await eventually(lambda: bool(engine.submitted))
    cancelled = (await http.post(f"{at}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    assert engine.aborted == [engine.submitted[0].id]
    assert (await http.get(at)).json() == cancelled
    other = await respond(http, background=True)
    assert (await http.delete(f"{PATH}/{other['id']}")).status_code == 200
    assert len(engine.aborted) == 2
    assert (await http.get(f"{PATH}/{other['id']}")).status_code == 404


async def test_failed_in_the_background(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("Hel", error="the forward pass failed")
    begun = await respond(http, background=True)
    while (answer := (await http.get(f"{PATH}/{begun['id']}")).json())["status"] == "in_progress":
        pass
    assert (answer["status"], answer["error"]["code"]) == ("failed", "server_error")


async def test_namespaces(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text) -> None:
    """The model knows a function by both names; a call has them apart, and so it is sent back."""
    engine.play = lambda request: say(CALL.replace("get_weather", "weather__now") + f"<|end|>{NEXT}{CALL}<|call|>")
    now, later = (
        {"type": "function", "name": name, "description": f"The weather {name}."} for name in ("now", "later")
    )
    space = {"type": "namespace", "name": "weather", "description": "Of cities.", "tools": [now, later]}
    answer = await respond(http, tools=[space, WEATHER])
    assert [(call.get("namespace"), call["name"]) for call in answer["output"]] == [
        ("weather", "now"), (None, "get_weather"),
    ]  # fmt: skip
    shown = prompt_of(engine, text)
    for part in ("// Of cities. The weather now.\ntype weather__now", "// The weather later.\ntype weather__later"):
        assert part in shown
    assert answer["tools"] == [space, WEATHER]
    results = [{"type": "function_call_output", "call_id": call["call_id"], "output": "x"} for call in answer["output"]]
    first = {"role": "user", "content": "hi"}
    await respond(http, tools=[space, WEATHER], input=[first, *answer["output"], *results])
    await respond(http, tools=[space, WEATHER], input=results, previous_response_id=answer["id"])
    *_, sent_back, kept = (request.prompt_token_ids for request in engine.submitted)
    assert sent_back == kept
    assert "to=functions.weather__now" in prompt_of(engine, text)
    named = {"type": "function", "namespace": "weather", "name": "now"}
    assert (await respond(http, tools=[space], tool_choice=named))["tool_choice"] == named
    assert "weather__now" in engine.submitted[-1].sampling.grammar


SPACE = {"type": "namespace", "name": "a"}
REFUSED = [
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    (
        {
            "input": [
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "b", "output": "x"},
            ]
        },
        "input",
    ),
    ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content"),
    ({"input": [{"type": "function_call_output", "call_id": "call_1", "output": "x"}]}, "input"),
    ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}]}, "input"),
    ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "carousel:_"}]}, "input"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [WEATHER, WEATHER]}, "tools"),
    (
        {"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "custom", "name": "b"}]}]},
        "tools[0].tools[0].type",
    ),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
    (
        {
            "tools": [WEATHER],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "other"}]},
        },
        "tool_choice",
    ),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format"),
    ({"text": {"format": {"type": "json_object"}}, "structured_outputs": {"choice": ["a"]}}, "text.format"),
    ({"text": {"format": {"type": "json_object", "schema": {}}}}, "text.format"),
    ({"text": {"verbosity": "low"}}, "text.verbosity"),
    ({"reasoning": {"effort": "utmost"}}, "reasoning.effort"),
    ({"truncation": "middle"}, "truncation"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"background": True, "stream": True}, "background"),
    ({"background": True, "store": False}, "background"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"input": "x" * 5000}, "input"),
    ({"messages": HI}, "messages"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED, ids=lambda value: str(value)[:60])
async def test_refusals(http: httpx.AsyncClient, body: dict, param: str) -> None:
    response = await http.post(PATH, json={"input": "hi"} | body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    foreign = ("max_completion_tokens", " max_tokens", "response_format", "messages:", "body goes")
    assert not any(name in error["message"] for name in foreign)


async def test_every_message_of_a_turn_is_an_item(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    preamble, second = "<|channel|>commentary<|message|>Looking.", "<|channel|>analysis<|message|>Again."
    engine.play = lambda request: say(f"{THOUGHT}{second}<|end|>{NEXT}{preamble}<|end|>{NEXT}{TURN.split(NEXT)[1]}")
    answer = await respond(http)
    said = [(item.get("phase"), item["content"][0]["text"]) for item in answer["output"]]
    assert said == [(None, "Think."), (None, "Again."), ("commentary", "Looking."), ("final_answer", "Hello 😀!")]
    last = (await stream(http))[-1]["response"]
    assert nameless(last["output"]) == nameless(answer["output"])


@pytest.mark.parametrize("per_step", [1, 1000])
async def test_scores_are_those_of_their_message(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int
) -> None:
    """What may have begun a stop string comes late, beside another message's text."""
    final = "<|channel|>final<|message|>"
    engine.play = lambda request: say(f"{final}in ci<|end|>{NEXT}{final}éy now<|end|>", per_step=per_step)
    options = {"top_logprobs": 1, "include": ["message.output_text.logprobs"]}
    answer = await respond(http, **options)
    parts = [item["content"][0] for item in answer["output"]]
    assert [part["text"] for part in parts] == ["in ci", "éy now"]
    for part in parts:
        assert bytes(b for entry in part["logprobs"] for b in entry["bytes"]).decode() == part["text"]


async def test_a_turn_of_several_messages_sent_back_is_one_turn(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    looking = "<|channel|>commentary<|message|>"
    engine.play = lambda request: say(
        f"{THOUGHT}{looking}Looking.<|end|>{NEXT}{looking}Still.<|end|>{NEXT}{CALL}<|call|>"
    )
    answer = await respond(http, tools=[WEATHER])
    result = {"type": "function_call_output", "call_id": answer["output"][-1]["call_id"], "output": "Sunny."}
    engine.play = lambda request: say(TURN)
    hi = {"role": "user", "content": "hi"}
    await respond(http, tools=[WEATHER], input=[hi, *answer["output"], result])
    prompt = prompt_of(engine, text)
    assert "Think." in prompt
    assert "Looking.\n\nStill." in prompt
    assert "<|channel|>final" not in prompt
