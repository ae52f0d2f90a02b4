"""/v1/chat/completions: channels, and what of them reaches whom."""

import random
from collections.abc import Callable

import httpx
import pytest

from engine.request import FinishReason
from server.schemas.chat import ChatRequest
from server.text import Text
from tests.server.asking import HI, chat, joined, joined_calls, stream
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"
TURN = f"<|channel|>analysis<|message|>Let me think.{FINAL}It is 4 😀."


@pytest.fixture
def engine(engine: ScriptedEngine, say: Say, text: Text) -> ScriptedEngine:
    engine.play = lambda request: say(TURN, stop_token_id=text.tokenizer.special_ids["<|return|>"])
    return engine


async def test_whole_answer(http: httpx.AsyncClient, text: Text) -> None:
    answer = await chat(http)
    assert answer.pop("id").startswith("chatcmpl-")
    assert isinstance(answer.pop("created"), int)
    assert answer.pop("system_fingerprint").startswith("carousel-")
    usage = answer.pop("usage")
    assert answer == {
        "object": "chat.completion",
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "It is 4 😀.",
                    "refusal": None,
                    "reasoning": "Let me think.",
                    "reasoning_content": "Let me think.",
                },
                "logprobs": None,
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
    }
    assert usage["completion_tokens"] == len(text.tokenizer.encode_marked(TURN)) + 1
    assert usage["completion_tokens_details"] == {"reasoning_tokens": len("Let me think.")}
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_streamed_answer(http: httpx.AsyncClient) -> None:
    whole = await chat(http)
    first, *chunks, end, usage = await stream(http, stream_options={"include_usage": True})
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    ]
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in chunks)
    assert all(len(set(chunk["choices"][0]["delta"]) & {"content", "reasoning"}) == 1 for chunk in chunks)
    assert joined([first, *chunks], "content") == "It is 4 😀."
    assert joined([first, *chunks], "reasoning") == joined([first, *chunks], "reasoning_content") == "Let me think."
    assert end["choices"][0] == {
        "index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop", "stop_reason": None,
    }  # fmt: skip
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    assert len({chunk["id"] for chunk in [first, *chunks, end, usage]}) == 1


async def test_streamed_equals_whole(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    """For any sequence of tokens, markup in the wildest order, however it is cut into steps."""
    grouping = random.Random(1)
    headers = [f"<|start|>assistant<|channel|>{name}<|message|>" for name in ("analysis", "commentary", "final")]
    words = [
        *text.tokenizer.special_ids,
        "analysis",
        "final",
        " to=functions.f",
        "ab",
        "STOP",
        "😀",
        "x" * 70,
    ]
    words += 3 * headers

    def play(request: object) -> Script:
        tokens = random.Random(request.sampling.seed)
        written = text.tokenizer.encode_marked("".join(tokens.choices(words, k=tokens.randrange(40))))
        steps = []
        while written:
            size = grouping.randint(1, 6)
            steps.append(written[:size])
            written = written[size:]
        return Script(steps, FinishReason.LENGTH)

    engine.play = play
    contents = reasonings = calls = 0
    for seed in range(150):
        body = {"seed": seed, "stop": "STOP", "logprobs": True, "parallel_tool_calls": seed % 2 == 0}
        if seed % 3:
            body["tools"] = [{"type": "function", "function": {"name": "f"}}]
        whole = await chat(http, **body)
        chunks = await stream(http, **body, stream_options={"include_usage": True})
        choice = whole["choices"][0]
        assert choice["message"]["content"] == joined(chunks, "content")
        assert choice["message"]["reasoning"] == joined(chunks, "reasoning")
        assert choice["finish_reason"] == chunks[-2]["choices"][0]["finish_reason"]
        called = [call["function"] for call in choice["message"].get("tool_calls", ())]
        assert called == joined_calls(chunks)
        parts = [c["logprobs"] for chunk in chunks for c in chunk["choices"] if c["logprobs"]]
        assert choice["logprobs"]["content"] == [entry for part in parts for entry in part["content"]]
        assert whole["usage"] == chunks[-1]["usage"]
        contents += choice["message"]["content"] is not None
        reasonings += choice["message"]["reasoning"] is not None
        calls += len(called)
    assert contents > 50
    assert calls > 10
    assert reasonings > 20


@pytest.mark.parametrize("per_step", [1, 2, 5, 100])
async def test_a_step_may_span_channels(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int
) -> None:
    engine.play = lambda request: say(TURN, per_step=per_step)
    chunks = await stream(http)
    assert (joined(chunks, "reasoning"), joined(chunks, "content")) == ("Let me think.", "It is 4 😀.")


@pytest.mark.parametrize("told", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
async def test_reasoning_can_be_left_out(http: httpx.AsyncClient, told: dict) -> None:
    answer = await chat(http, **told)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "It is 4 😀.", "refusal": None}
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == len("Let me think.")
    chunks = await stream(http, **told)
    assert joined(chunks, "reasoning") is None
    assert joined(chunks, "content") == "It is 4 😀."


async def test_reasoning_that_ate_the_budget(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("<|channel|>analysis<|message|>Hmm, well", finish=FinishReason.LENGTH)
    choice = (await chat(http, max_tokens=20))["choices"][0]
    assert choice["finish_reason"] == "length"
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == (None, "Hmm, well")


@pytest.mark.parametrize("per_step", [1, 3, 4, 100])
async def test_stop_strings_look_at_the_answer_only(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int
) -> None:
    written = f"<|channel|>analysis<|message|>do STOP it{FINAL}go STOP it"
    engine.play = lambda request: say(written, per_step=per_step, hangs=True)
    choice = (await chat(http, stop="STOP"))["choices"][0]
    assert choice["message"]["reasoning"] == "do STOP it"
    assert choice["message"]["content"] == "go "
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "STOP")
    chunks = await stream(http, stop=["STOP"])
    assert joined(chunks, "content") == "go "
    assert engine.running == 0


@pytest.mark.parametrize(
    ("written", "content"),
    [
        (
            "<|channel|>commentary<|message|>First.<|end|><|start|>assistant<|channel|>final<|message|>Then.",
            "First.\n\nThen.",
        ),
        ('<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>', '{"a": 1}'),
        ("<|channel|>final<|message|>plain", "plain"),
        ("no markup at all, and long enough to be no header by any means: " + "x" * 64, None),
    ],
)
async def test_what_is_content(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, written: str, content: str | None
) -> None:
    engine.play = lambda request: say(written)
    message = (await chat(http))["choices"][0]["message"]
    assert message["content"] == (written if content is None else content)
    assert message["reasoning"] is None


async def test_logprobs_are_those_of_the_answer(http: httpx.AsyncClient) -> None:
    logprobs = (await chat(http, logprobs=True, top_logprobs=2))["choices"][0]["logprobs"]
    assert bytes(byte for entry in logprobs["content"] for byte in entry["bytes"]).decode() == "It is 4 😀."
    assert logprobs["refusal"] is None
    assert logprobs["content"][0] == {
        "token": "I",
        "logprob": -0.073,
        "bytes": [73],
        "top_logprobs": [
            {"token": "I", "logprob": -0.073, "bytes": [73]},
            {"token": "J", "logprob": -0.074, "bytes": [74]},
        ],
    }
    assert (await chat(http, logprobs=True))["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []
    chunks = await stream(http, logprobs=True, top_logprobs=2)
    parts = [c["logprobs"] for chunk in chunks for c in chunk["choices"] if c["logprobs"]]
    assert [entry for part in parts for entry in part["content"]] == logprobs["content"]


@pytest.mark.parametrize("length", [3, 200])
@pytest.mark.parametrize("end", ["<|return|>", ""])
async def test_logprobs_of_an_answer_without_markup_are_of_all_of_it(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, length: int, end: str
) -> None:
    """Its first tokens are read as a header, until they are too many or the answer ends."""
    written = "It is " + "four " * length
    engine.play = lambda request: say(written + end)
    choice = (await chat(http, logprobs=True))["choices"][0]
    assert choice["message"]["content"] == written
    tokens = choice["logprobs"]["content"]
    assert bytes(byte for entry in tokens for byte in entry["bytes"]).decode() == written
    chunks = await stream(http, logprobs=True)
    parts = [c["logprobs"] for chunk in chunks for c in chunk["choices"] if c["logprobs"]]
    assert [entry for part in parts for entry in part["content"]] == tokens


@pytest.mark.parametrize(
    "written",
    [
        "<|channel|>final answer now<|message|>Four.<|end|>",
        "<|channel|>analysis<|message|>Hm.<|end|>Four.<|return|>",
        "<|start|>assistant Four.<|return|>",
        "<|channel|>final Four.<|end|>",
    ],
)
async def test_logprobs_are_of_no_header(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, written: str
) -> None:
    engine.play = lambda request: say(written)
    choice = (await chat(http, logprobs=True))["choices"][0]
    said = bytes(b for entry in choice["logprobs"]["content"] for b in entry["bytes"])
    assert said.decode() == choice["message"]["content"]
    assert said.strip() == b"Four."


async def test_a_token_that_stops_an_answer_without_markup_takes_no_logprobs_with_it(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    (stop,) = text.tokenizer.encode("!")
    engine.play = lambda request: say("It is four", stop_token_id=stop)
    choice = (await chat(http, logprobs=True, stop_token_ids=[stop]))["choices"][0]
    assert choice["message"]["content"] == "It is four"
    assert bytes(b for entry in choice["logprobs"]["content"] for b in entry["bytes"]) == b"It is four"


async def test_a_refusal_sent_back_is_what_was_said(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text
) -> None:
    ask, again = ({"role": "user", "content": each} for each in ("Sing.", "Please."))
    for answer in ({"content": "I cannot."}, {"content": None, "refusal": "I cannot."}):
        await chat(http, messages=[ask, {"role": "assistant", **answer}, again])
    first, second = (request.prompt_token_ids for request in engine.submitted[-2:])
    assert first == second
    assert "I cannot." in text.tokenizer.decode(first)


async def test_three_choices(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(f"<|channel|>final<|message|>seed {request.sampling.seed}")
    answer = await chat(http, n=3, seed=1)
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["seed 1", "seed 2", "seed 3"]
    chunks = await stream(http, n=3, seed=1)
    assert [joined(chunks, "content", i) for i in range(3)] == ["seed 1", "seed 2", "seed 3"]
    roles = [c["index"] for chunk in chunks for c in chunk["choices"] if "role" in c["delta"]]
    assert roles == [0, 1, 2]


async def test_the_prompt(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    await chat(
        http,
        messages=[
            {"role": "developer", "content": "Be kind."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "<|end|>"}, {"type": "text", "text": "hi"}],
            },
        ],
        reasoning_effort="high",
    )
    prompt = text.tokenizer.decode(engine.submitted[0].prompt_token_ids)
    assert "Reasoning: high" in prompt
    assert "Current date: 2025-01-31" in prompt
    assert prompt.endswith("<|start|>user<|message|><|end|>\nhi<|end|><|start|>assistant")
    ends = engine.submitted[0].prompt_token_ids.count(text.tokenizer.special_ids["<|end|>"])
    assert ends == 3, "the user's own <|end|> must be plain text"
    await chat(http, current_date="2031-12-01")
    assert "Current date: 2031-12-01" in text.tokenizer.decode(engine.submitted[1].prompt_token_ids)


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_what_the_system_says_on_the_way_stands_where_it_is(
    http: httpx.AsyncClient, engine: ScriptedEngine, text: Text, role: str
) -> None:
    """All that was computed before it stays of use. What an answer must look like is told in front."""
    said = [{"role": role, "content": "Be kind."}, *HI, {"role": "assistant", "content": "Hello!"}, *HI]
    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": {"type": "object"}}}
    for form in ({}, {"response_format": schema}):
        await chat(http, messages=said, **form)
        await chat(http, messages=[*said, {"role": role, "content": "Hurry."}, *HI], **form)
        before, after = (request.prompt_token_ids for request in engine.submitted[-2:])
        kept = len(before) - len("assistant") - 1
        assert before[:kept] == after[:kept]
        hurry = "<|start|>developer<|message|># Instructions\n\nHurry.<|end|>"
        asked = "<|start|>user<|message|>hi<|end|><|start|>assistant"
        assert after[kept:] == tuple(text.tokenizer.encode_marked(hurry + asked))
    items = [*said[1:], {"role": role, "content": "Hurry."}, *HI]
    form = {"type": "json_schema", "name": "person", "schema": {"type": "object"}}
    response = await http.post(
        "/v1/responses", json={"instructions": "Be kind.", "input": items, "text": {"format": form}}
    )
    assert response.status_code == 200, response.text
    assert engine.submitted[-1].prompt_token_ids == after


async def test_effort_told_to_the_template(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    prompts = []
    for told in (
        {"reasoning_effort": "low"},
        {"chat_template_kwargs": {"reasoning_effort": "low"}},
        {"reasoning_effort": "low", "chat_template_kwargs": {"reasoning_effort": "high"}},
        {"reasoning": {"effort": "low", "exclude": False}, "chat_template_kwargs": {"reasoning_effort": "high"}},
        {"chat_template_kwargs": {"reasoning_effort": "high", "enable_thinking": True}},
        {"reasoning": {"effort": "max", "enabled": True}},
        {"reasoning_effort": "xhigh"},
    ):
        await chat(http, **told)
        prompts.append(engine.submitted[-1].prompt_token_ids)
        assert engine.submitted[-1].sampling.grammar is None
    assert prompts[0] == prompts[1] == prompts[2] == prompts[3]
    assert prompts[0] != prompts[4] == prompts[5] == prompts[6]
    for told in (
        {"chat_template_kwargs": {"reasoning_effort": "none"}},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": {"thinking": False}},
        {"reasoning": {"enabled": False}},
    ):
        await chat(http, **told)
        assert engine.submitted[-1].sampling.grammar is not None, told


async def test_what_changes_nothing_is_not_kept() -> None:
    """It may be large, and takes many times its size in memory."""
    told = {"large": [[]] * 1000}
    call = {"id": "a", "function": {"name": "f", "arguments": "{}", "parsed_arguments": told}, "extra_content": told}
    message = {"role": "assistant", "tool_calls": [call], "parsed": told, "reasoning_details": told}
    body = ChatRequest.model_validate(
        {"messages": [message], "metadata": told, "prompt_cache_options": told, "prediction": told}
    )
    assert "large" not in body.model_dump_json()


async def test_a_result_may_be_empty(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    calling = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    for result in ({}, {"content": None}, {"content": ""}):
        await chat(
            http, messages=[{"role": "user", "content": "?"}, calling, {"role": "tool", "tool_call_id": "a"} | result]
        )
    assert len({request.prompt_token_ids for request in engine.submitted}) == 1
    assert "<|channel|>commentary<|message|><|end|>" in text.tokenizer.decode(engine.submitted[0].prompt_token_ids)


async def test_how_long_an_answer_may_be(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    await chat(http)
    await chat(http, max_tokens=9)
    await chat(http, max_tokens=9, max_completion_tokens=7)
    open_end, short, shorter = engine.submitted
    assert open_end.sampling.max_tokens == 4096 - len(open_end.prompt_token_ids)
    assert (short.sampling.max_tokens, shorter.sampling.max_tokens) == (9, 7)
