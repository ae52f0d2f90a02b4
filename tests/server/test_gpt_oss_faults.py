"""What goes wrong with gpt-oss on other servers: each fault with the very tokens that show it, whole and streamed."""

import json
import socket
from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI

from engine.checkpoint.hub import EMBEDDED
from engine.request import FinishReason
from server.app import create_app
from server.config import ServerConfig
from server.text import Text
from tests.server.asking import HI, both, called, chat, joined, joined_calls, stream, tool
from tests.server.scripted_engine import Script, ScriptedEngine

Write = Callable[[str], None]
F = tool("f", parameters={"type": "object"})
NEXT = "<|start|>assistant"
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"


@pytest.fixture(params=[1, 3, 1000], ids=lambda size: f"{size} tokens a step")
def write(request: pytest.FixtureRequest, engine: ScriptedEngine, say: Callable[..., Script], text: Text) -> Write:
    """Sets what the model writes, so many tokens a step; `<|return|>` and `<|call|>` at its end stop it."""

    def play(answer: str) -> None:
        mark = next((mark for mark in ("<|return|>", "<|call|>") if answer.endswith(mark)), "")
        stop = text.tokenizer.special_ids.get(mark)
        engine.play = lambda _: say(answer.removesuffix(mark), per_step=request.param, stop_token_id=stop)

    return play


@pytest.mark.parametrize(
    "junk",
    [
        "<|channel|>final answer now<|message|>",
        "<|channel|>final<|constrain|>json strictly<|message|>",
        "<|channel|>final to=user <|constrain|>text<|message|>",
        " well then<|channel|>final<|message|>",
        "<|channel|>analysis<|channel|>final<|message|>",
        "<|constrain|><|channel|>final <|constrain|><|message|>",
        "<|start|>assistant<|start|>assistant<|channel|>final<|message|>",
    ],
)
async def test_fault_1_tokens_remain_in_a_header(http: httpx.AsyncClient, write: Write, junk: str) -> None:
    write(f"{junk}It is 4.<|return|>")
    choice = await both(http, tools=[F])
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == ("It is 4.", None)
    assert (called(choice), choice["finish_reason"]) == ([], "stop")


@pytest.mark.parametrize("end", ["<|return|>", "<|end|>", "<|endoftext|>"])
async def test_fault_2_tokens_after_the_end(http: httpx.AsyncClient, write: Write, end: str) -> None:
    write(f"{FINAL}It is 4.{end}{end} And so on.{end}{NEXT}{ANALYSIS}Hm")
    message = (await both(http))["message"]
    assert (message["content"], message["reasoning"]) == ("It is 4.\n\n And so on.", "Hm")


async def test_fault_2_tokens_after_a_call(http: httpx.AsyncClient, write: Write) -> None:
    write("<|channel|>commentary to=functions.f<|message|>{}<|call|>commentary<|call|><|return|> odd<|end|>")
    choice = await both(http, tools=[F])
    assert called(choice) == [("f", "{}")]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("commentary\n\n odd", "tool_calls")


@pytest.mark.parametrize(
    "header",
    [
        " to=functions.lookup<|channel|>commentary<|message|>",
        " to=functions.lookup<|channel|>commentary <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.lookup<|channel|>commentary json<|message|>",
        "<|channel|>commentary to=functions.lookup<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.lookup json<|message|>",
        "<|channel|>commentary to=functions.lookup\n<|constrain|>json<|message|>",
    ],
)
async def test_fault_3_markup_in_a_function_s_name(http: httpx.AsyncClient, write: Write, header: str) -> None:
    write(f"{header}{{}}<|call|>")
    assert called(await both(http, tools=[tool("lookup")])) == [("lookup", "{}")]


async def test_fault_3_markup_spelled_out_in_a_name(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text
) -> None:
    mark, encode = text.tokenizer.special_ids, text.tokenizer.encode
    header = [mark["<|channel|>"], *encode("commentary to=functions.lookup<|channel|>commentary"), mark["<|message|>"]]
    engine.play = lambda _: Script([[*header, *encode("{}")]])
    assert called(await both(http, tools=[tool("lookup")])) == [("lookup", "{}")]


async def test_fault_4_a_step_that_spans_messages(http: httpx.AsyncClient, write: Write) -> None:
    write(
        f"{ANALYSIS}Think 😀.<|end|>{NEXT}<|channel|>commentary<|message|>Looking.<|end|>"
        f'{NEXT}<|channel|>commentary to=functions.f<|message|>{{"a":"é"}}<|call|>'
        f"{NEXT}{ANALYSIS}More.<|end|>{NEXT}{FINAL}Done.<|return|>"
    )
    choice = await both(http, tools=[F])
    message = choice["message"]
    assert (message["reasoning"], message["content"]) == ("Think 😀.\n\nMore.", "Looking.\n\nDone.")
    assert called(choice) == [("f", '{"a":"é"}')]


@pytest.mark.parametrize(
    "arguments", ['{"a": ', "{'a': 1}", '{"a": "\n"}', "null", "[1,]", "print(1)", "", "}{", "\ufffd"]
)
async def test_fault_5_arguments_that_are_no_json(http: httpx.AsyncClient, write: Write, arguments: str) -> None:
    write(f"<|channel|>commentary to=functions.f <|constrain|>json<|message|>{arguments}<|call|>")
    choice = await both(http, tools=[F])
    assert (called(choice), choice["finish_reason"]) == ([("f", arguments)], "tool_calls")


async def test_fault_5_broken_arguments_come_back(
    http: httpx.AsyncClient, write: Write, engine: ScriptedEngine, text: Text
) -> None:
    write("<|channel|>commentary to=functions.f<|message|>{'a<|call|>")
    message = (await both(http, tools=[F]))["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "not JSON"}
    await chat(http, tools=[F], messages=[*HI, message, result])
    assert "{'a<|call|>" in text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)


@pytest.mark.parametrize("channel", ["analysis", "commentary", "final"])
@pytest.mark.parametrize("recipient", ["functions.f", "f"])
@pytest.mark.parametrize("body", ['{"a":1}', "a, b"])
async def test_fault_6_where_a_recipient_stands(
    http: httpx.AsyncClient, write: Write, channel: str, recipient: str, body: str
) -> None:
    for header in (f" to={recipient}<|channel|>{channel}", f"<|channel|>{channel} to={recipient}", f" to={recipient}"):
        write(f"{ANALYSIS}Hm.<|end|>{NEXT}{header}<|message|>{body}<|call|>")
        choice = await both(http, tools=[F])
        assert (called(choice), choice["finish_reason"]) == ([("f", body)], "tool_calls")
        assert (choice["message"]["content"], choice["message"]["reasoning"]) == (None, "Hm.")


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary<|constrain|>json to=functions.f",
        "<|channel|>commentary json to=functions.f",
        "!~~!css to=functions.f json",
        "<|start|>assistant!~~!<|channel|>commentary<|constrain|>x to=functions.f",
    ],
)
async def test_fault_6_a_recipient_behind_something(http: httpx.AsyncClient, write: Write, header: str) -> None:
    write(f"{ANALYSIS}Hm.<|end|>{header}<|message|>{{}}<|call|>")
    choice = await both(http, tools=[F])
    assert (called(choice), choice["finish_reason"]) == ([("f", "{}")], "tool_calls")
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == (None, "Hm.")


async def test_fault_7_a_streamed_call_is_the_whole_one(http: httpx.AsyncClient, write: Write) -> None:
    write(
        f'{ANALYSIS}Two.<|end|>{NEXT} to=functions.f<|channel|>commentary json<|message|>{{"a":1}}<|end|>'
        f"{NEXT}<|channel|>commentary to=functions.g<|message|>{{}}<|call|>"
    )
    chunks = await stream(http, tools=[F, tool("g")])
    assert joined_calls(chunks) == [{"name": "f", "arguments": '{"a":1}'}, {"name": "g", "arguments": "{}"}]
    begun = [c for chunk in chunks for c in chunk["choices"][0]["delta"].get("tool_calls", ()) if "id" in c]
    assert len({call["id"] for call in begun}) == 2
    assert joined(chunks, "content") is None
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    await both(http, tools=[F, tool("g")])


async def test_fault_8_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """From loading the vocabulary to a grammar over it: no name is looked up, nothing connected to."""

    def refuse(*args: object, **rest: object) -> None:
        raise AssertionError(f"the network was asked: {args}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    text = Text.load(EMBEDDED)
    tokens = text.tokenizer.encode_marked(f"{FINAL}Hello.")
    engine = ScriptedEngine(lambda _: Script([tokens]), vocab_size=text.tokenizer.vocab_size)
    app: FastAPI = create_app(engine, text, ServerConfig(served_model_names=("tiny",)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        answer = await chat(http, tools=[F], structured_outputs={"choice": ["Hello."]})
    assert answer["choices"][0]["message"]["content"] == "Hello."


async def test_fault_9_reasoning_within_a_tool_loop(
    http: httpx.AsyncClient, write: Write, engine: ScriptedEngine, text: Text
) -> None:
    write(f"{ANALYSIS}First f.<|end|>{NEXT}<|channel|>commentary to=functions.f<|message|>{{}}<|call|>")
    message = (await chat(http, tools=[F]))["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "4"}
    for name in ("reasoning", "reasoning_content"):
        given = {key: value for key, value in message.items() if not key.startswith("reasoning")}
        await chat(http, tools=[F], messages=[*HI, given | {name: message[name]}, result])
        prompt = text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)
        assert f"{ANALYSIS}First f.<|end|>" in prompt
    await chat(http, tools=[F], messages=[*HI, message, result, {"role": "assistant", "content": "4"}, *HI])
    assert "First f." not in text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)


async def test_fault_10_reasoning_by_both_its_names(http: httpx.AsyncClient, write: Write) -> None:
    write(f"{ANALYSIS}Let me think.<|end|>{NEXT}{FINAL}4<|return|>")
    message = (await chat(http))["choices"][0]["message"]
    assert message["reasoning"] == message["reasoning_content"] == "Let me think."
    chunks = await stream(http)
    assert joined(chunks, "reasoning") == joined(chunks, "reasoning_content") == "Let me think."


async def test_fault_11_the_grammar_begins_with_the_final_message(
    http: httpx.AsyncClient, write: Write, engine: ScriptedEngine, text: Text
) -> None:
    turn = f'{ANALYSIS}{{"not": it}} <b>😀<|end|>{NEXT}{FINAL}{{"a":1}}'
    write(f"{turn}<|return|>")
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": True}}
    message = (await both(http, response_format=wanted))["message"]
    assert (message["content"], message["reasoning"]) == ('{"a":1}', '{"not": it} <b>😀')
    grammar = engine.submitted[-1].sampling.grammar
    state = text.grammars.compile(grammar)
    for token_id in text.tokenizer.encode_marked(turn):
        state.advance(token_id)
    assert state.error is None
    for early in ('{"a":1}', f'{ANALYSIS}{{"a":1}}<|return|>', f"{FINAL}Here: ", '<|channel|>final{"a":1}'):
        state = text.grammars.compile(grammar)
        for token_id in text.tokenizer.encode_marked(early):
            state.advance(token_id)
        assert state.error is not None, early


@pytest.mark.parametrize("wanted", ["required", {"type": "function", "function": {"name": "f"}}])
async def test_fault_12_a_call_can_be_required(
    http: httpx.AsyncClient, write: Write, engine: ScriptedEngine, text: Text, wanted: object
) -> None:
    write(f"{ANALYSIS}So.<|end|>{NEXT}<|channel|>commentary to=functions.f<|message|>{{}}<|call|>")
    choice = await both(http, tools=[F], tool_choice=wanted)
    assert (called(choice), choice["finish_reason"]) == ([("f", "{}")], "tool_calls")
    for answer, fits in ((FINAL, False), ("<|channel|>commentary to=functions.f<|message|>{", True)):
        state = text.grammars.compile(engine.submitted[-1].sampling.grammar or "")
        for token_id in text.tokenizer.encode_marked(answer):
            state.advance(token_id)
        assert (state.error is None) == fits


async def test_fault_13_a_stop_string_in_the_reasoning(http: httpx.AsyncClient, write: Write) -> None:
    write(f"{ANALYSIS}First\n\nsecond.<|end|>{NEXT}{FINAL}It is 4.\n\nAnd more.<|return|>")
    choice = await both(http, stop="\n\n")
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == ("It is 4.", "First\n\nsecond.")
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "\n\n")


@pytest.mark.parametrize("answer", ["4", "It is 4.", "It is 4. " * 20, " leading", "final", "to nobody", '{"a": 1}'])
async def test_fault_14_text_without_markup(http: httpx.AsyncClient, write: Write, answer: str) -> None:
    for end in ("<|return|>", ""):
        write(answer + end)
        choice = await both(http, tools=[F])
        assert (choice["message"]["content"], choice["finish_reason"]) == (answer, "stop")


async def test_whatever_the_model_writes_is_an_answer(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text
) -> None:
    """Every pair of marks, with text and without: never an error, and the same streamed."""
    marks = [*text.tokenizer.special_ids, ""]
    for first in marks:
        for second in marks:
            written = text.tokenizer.encode_marked(f"{first}commentary to=f{second}x\xff{first}{second}")
            engine.play = lambda _, written=written: Script([written[:7], written[7:]], FinishReason.LENGTH)
            json.dumps(await both(http, tools=[F], logprobs=True))
