"""response_format and structured_outputs: the grammars they lead to, and what is refused at once."""

import json
import threading

import httpx
import pytest

from engine.grammar import GrammarCompiler, GrammarState
from engine.request import MAX_GRAMMAR_LENGTH
from server.app import create_app
from server.config import ServerConfig
from server.text import Text
from tests.server.asking import CHAT, HI, chat, tool
from tests.server.scripted_engine import ScriptedEngine

COMPLETIONS = "/v1/completions"
FINAL = "<|channel|>final<|message|>"
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x", "y"],
    "additionalProperties": False,
}


def schema_format(schema: dict, **rest: object) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema} | rest}


def takes(state: GrammarState, token_ids: list[int]) -> bool:
    """Whether these tokens may be written, and the answer may end there."""
    for token_id in token_ids:
        state.advance(token_id)
        if state.error is not None:
            return False
    return state.complete or state._matcher.is_accepting()


def allowed(engine: ScriptedEngine, text: Text, answer: str, *, prefix: str = "") -> bool:
    """Whether the last request's grammar has `answer`, in which nothing is markup, after `prefix`."""
    grammar = engine.submitted[-1].sampling.grammar
    assert grammar is not None
    tokens = text.tokenizer.encode_marked(prefix) + text.tokenizer.encode(answer)
    return takes(text.grammars.compile(grammar), tokens)


WANTED = [
    ({"json": POINT}, ['{"x":1,"y":-2}', '{ "x": 1,\n  "y": 2}'],
     ['{"x":1}', "[1]", '{"y":1,"x":2}', '{"x":1,"y":2} ']),
    ({"json": json.dumps(POINT)}, ['{"x":1,"y":-2}'], ['{"x":1}']),
    ({"json_object": True}, ["{}", '{"a":[1,{"b":null}]}'], ["[]", "1", "{", '{"a":1,}']),
    ({"regex": r"\d{3}-[a-z/]+"}, ["123-a/b"], ["12-a", "123-A", " 123-a"]),
    ({"regex": r"a\/b|c"}, ["a/b", "c"], ["a", r"a\/b"]),
    ({"regex": "a\nb\\\n[/]"}, ["a\nb\n/"], ["ab"]),
    ({"regex": '"|\\\\'}, ['"', "\\"], ["'"]),
    ({"choice": ["yes", "no", ""]}, ["yes", "no", ""], ["ye", "YES", "yesno"]),
    ({"choice": ['say "hi"', "a\nb", "日本 😀", "back\\slash", "/x/", "<|end|>"]},
     ['say "hi"', "a\nb", "日本 😀", "back\\slash", "/x/", "<|end|>"], ["say", "x"]),
    ({"grammar": 'start: body+\nbody: TEXT | "(" body ")" // as "thought"\nTEXT: "x"'},
     ["x", "(x)x((x))"], ["(x", "y"]),
    ({"grammar": 'start: "}" thought\nthought: /[{]+/  // }'}, ["}{{"], ["}", "{"]),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "good", "bad"), WANTED)
async def test_a_completion_is_nothing_but_that(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text, wanted: dict, good: list[str], bad: list[str]
) -> None:
    response = await http.post(COMPLETIONS, json={"prompt": "a", "structured_outputs": wanted})
    assert response.status_code == 200, response.text
    assert [answer for answer in good if not allowed(engine, text, answer)] == []
    assert [answer for answer in bad if allowed(engine, text, answer)] == []


@pytest.mark.parametrize(("wanted", "good", "bad"), WANTED)
async def test_a_final_message_is_that_and_the_reasoning_is_free(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text, wanted: dict, good: list[str], bad: list[str]
) -> None:
    await chat(http, structured_outputs=wanted)
    thought = "<|channel|>analysis<|message|>any{\n</s> 😀<|end|><|start|>assistant"
    for prefix in (FINAL, thought + FINAL, "<|channel|>final <|constrain|>json<|message|>"):
        assert [answer for answer in good if not allowed(engine, text, answer, prefix=prefix)] == []
        assert [answer for answer in bad if allowed(engine, text, answer, prefix=prefix)] == []
    for start in (
        "",
        thought,
        thought * 2 + FINAL,
        "<|channel|>commentary<|message|>",
        "<|channel|>analysis<|message|>",
        "<|message|>",
    ):
        assert not allowed(engine, text, good[0] or "x", prefix=start), "the constraint begins with the final message"
    await chat(http, structured_outputs=wanted, reasoning_effort="none")
    assert allowed(engine, text, good[0], prefix=FINAL)
    assert not allowed(engine, text, good[0], prefix=thought + FINAL)


async def test_response_formats(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    await chat(http, response_format={"type": "text"})
    assert engine.submitted[-1].sampling.grammar is None
    await chat(http, response_format={"type": "json_object"})
    assert allowed(engine, text, '{"any":[]}', prefix=FINAL)
    assert not allowed(engine, text, "[]", prefix=FINAL)
    for strict in (True, False, None):
        await chat(http, response_format=schema_format(POINT, strict=strict, description="A point."))
        assert allowed(engine, text, '{"x": 1, "y": 2}', prefix=FINAL)
        assert not allowed(engine, text, '{"x": 1}', prefix=FINAL)
    prompt = text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)
    shown = json.dumps(POINT, separators=(",", ":"))
    assert f"# Response Formats\n\n## answer\n\n// A point.\n{shown}<|end|>" in prompt


async def test_a_schema_without_a_name(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    """As llama.cpp has it."""
    await chat(http, response_format=schema_format(POINT, name="answer"))
    for kind in ("json_object", "json_schema"):
        await chat(http, response_format={"type": kind, "schema": POINT})
    assert len({request.sampling.grammar for request in engine.submitted}) == 1
    assert len({request.prompt_token_ids for request in engine.submitted}) == 1


async def test_no_call_where_none_is_allowed(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    """Not even of a function that the model knows from what was said before."""
    calling = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    before = [*HI, calling, {"role": "tool", "tool_call_id": "a", "content": "x"}]
    await chat(http, tools=[tool("f")], tool_choice="none")
    assert engine.submitted[-1].sampling.grammar is None, "it knows of none"
    await chat(http, messages=before, tools=[tool("f")], tool_choice="none")
    assert allowed(engine, text, "hello", prefix=FINAL)
    assert not allowed(engine, text, "", prefix="<|channel|>commentary to=functions.f<|message|>{}<|call|>")


async def test_a_schema_of_many_patterns_is_refused_before_they_are_tried(
    http: httpx.AsyncClient, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(pattern: str) -> bool:
        raise AssertionError("it takes long")

    monkeypatch.setattr("engine.prompt.patterns.is_known", never)
    monkeypatch.setattr("server.translate.constraints.MAX_PATTERNS", 8)
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string", "pattern": f"q{n}"} for n in range(9)}}
    for fields, param in (
        ({"response_format": schema_format(schema)}, "response_format"),
        ({"structured_outputs": {"json": schema}}, "structured_outputs"),
        ({"tools": [tool("f", parameters=schema)], "tool_choice": "required"}, "tools"),
    ):
        response = await http.post(CHAT, json={"messages": HI} | fields)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
        assert "patterns" in response.json()["error"]["message"]


async def test_whitespace_comes_to_an_end(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    for fields in ({"response_format": schema_format(POINT)}, {"structured_outputs": {"json_object": True}}):
        await chat(http, **fields)
        assert allowed(engine, text, '{\n        "x": 1, "y":\n2}', prefix=FINAL)
        assert not allowed(engine, text, "{" + " " * 17 + '"x": 1, "y": 2}', prefix=FINAL)
        assert not allowed(engine, text, " {}", prefix=FINAL)


async def test_a_strict_schema_is_refused_where_another_is_followed_as_far_as_possible(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text
) -> None:
    unknown = {"type": "object", "properties": {"a": {"type": "string", "format": "unheard-of"}}, "required": ["a"]}
    response = await http.post(CHAT, json={"messages": HI, "response_format": schema_format(unknown, strict=True)})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "response_format")
    assert "unheard-of" in response.json()["error"]["message"]
    await chat(http, response_format=schema_format(unknown))
    assert allowed(engine, text, '{"a":"b"}', prefix=FINAL)
    assert not allowed(engine, text, '{"a":1}', prefix=FINAL)


async def test_so_is_a_schema_with_a_pattern_that_looks_ahead(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text
) -> None:
    ahead = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?!b)"}}, "required": ["a"]}
    for fields, param in (
        ({"response_format": schema_format(ahead, strict=True)}, "response_format"),
        ({"tools": [tool("f", parameters=ahead, strict=True)]}, "tools"),
    ):
        response = await http.post(CHAT, json={"messages": HI} | fields)
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)
        assert "look-around" in response.json()["error"]["message"]
    await chat(http, response_format=schema_format(ahead))
    assert allowed(engine, text, '{"a":"c"}', prefix=FINAL)
    assert not allowed(engine, text, '{"a":1}', prefix=FINAL)
    await chat(http, tools=[tool("f", parameters=ahead), tool("g", strict=True)])
    assert allowed(engine, text, "", prefix='<|channel|>commentary to=functions.f<|message|>{"a":"c"}<|call|>')


async def test_the_answer_to_tools_too(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    await chat(http, tools=[tool("f")], response_format=schema_format(POINT))
    assert allowed(engine, text, '{"x":1,"y":2}', prefix=FINAL)
    assert not allowed(engine, text, "hello", prefix=FINAL)
    assert allowed(engine, text, "", prefix="<|channel|>commentary to=functions.f<|message|>{}<|call|>")
    preamble = "<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant"
    assert not allowed(engine, text, '{"x":1,"y":2}', prefix=preamble + FINAL), "clients parse whatever is said"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object", "json_schema": {"name": "a"}}}, "response_format"),
        ({"response_format": {"type": "text", "schema": {}}}, "response_format"),
        ({"response_format": schema_format(POINT) | {"schema": POINT}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
         "response_format.json_schema.name"),
        ({"response_format": schema_format(POINT, name="a b")}, "response_format.json_schema.name"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}},
         "response_format.json_schema.schema"),
        ({"response_format": schema_format({"type": "nope"})}, "response_format"),
        ({"response_format": schema_format({"type": "string", "pattern": "("}, strict=True)}, "response_format"),
        ({"response_format": schema_format({"$ref": "#/nowhere"})}, "response_format"),
        ({"response_format": schema_format({"allOf": [{"type": "string"}, {"type": "object"}]})}, "response_format"),
        ({"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}}, "response_format"),
        ({"response_format": schema_format({"enum": ["x" * 200] * 2000})}, "response_format"),
        ({"tools": [tool("f", strict=True)], "response_format": schema_format({"type": "nope"})}, "response_format"),
        ({"structured_outputs": {"choice": ["x" * MAX_GRAMMAR_LENGTH]}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a" * MAX_GRAMMAR_LENGTH}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "[a-"}}, "structured_outputs"),
        ({"structured_outputs": {"grammar": "start: x"}}, "structured_outputs"),
        ({"structured_outputs": {"grammar": "begin: /x/"}}, "structured_outputs"),
        ({"structured_outputs": {"grammar": ""}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "((a{1000}){1000}){1000}"}}, "structured_outputs"),
        ({"structured_outputs": {"json_object": False}}, "structured_outputs.json_object"),
    ],
)  # fmt: skip
async def test_what_is_refused(engine: ScriptedEngine, text: Text, fields: dict, param: str) -> None:
    settings = ServerConfig(served_model_names=("tiny",), max_body_bytes=2**22)
    transport = httpx.ASGITransport(create_app(engine, text, settings), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        response = await http.post(CHAT, json={"messages": HI} | fields)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    assert "\n" not in error["message"]
    assert len(error["message"]) < 1000
    assert engine.submitted == []


async def test_grammars_are_compiled_in_a_thread_of_their_own(
    http: httpx.AsyncClient, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    compile_here = GrammarCompiler.compile

    def compile_and_note(self: GrammarCompiler, grammar: str) -> GrammarState:
        threads.append(threading.current_thread())
        return compile_here(self, grammar)

    monkeypatch.setattr(GrammarCompiler, "compile", compile_and_note)
    for _ in range(3):
        await chat(http, structured_outputs={"regex": "ab"})
    assert len(threads) == 6, "the body, and the turn with it"
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()
