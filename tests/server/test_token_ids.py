"""`return_token_ids`: the ids beside the text, whole and streamed."""

from collections.abc import Callable

import httpx
import pytest

from server.text import Text
from server.translate import completions
from tests.server.asking import CHAT, chat, tool
from tests.server.asking import stream as stream_chat
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.test_completions import PATH, complete, stream

Say = Callable[..., Script]
FINAL = "<|end|><|start|>assistant<|channel|>final<|message|>"
CALL = '<|end|><|start|>assistant to=functions.f<|channel|>commentary<|message|>{"a": 1}'


def streamed(chunks: list[dict], index: int) -> list[int]:
    """The token ids of a choice's chunks, joined."""
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return [token for choice in choices for token in choice["token_ids"]]


@pytest.mark.parametrize("per_step", [1, 3, 100])
@pytest.mark.parametrize(
    ("written", "end", "read"),
    [
        (f"<|channel|>analysis<|message|>Hm, 😀.{FINAL}It is 4 😀.", "<|return|>", None),
        (f"<|channel|>analysis<|message|>Hm.{CALL}", "<|call|>", None),
        (f"<|channel|>analysis<|message|>STOP{FINAL}go STOP it", None, f"STOP{FINAL}go STOP"),
        ("no markup", None, None),
        ("", "<|return|>", None),
    ],
)
async def test_of_a_chat(
    http: httpx.AsyncClient,
    engine: ScriptedEngine,
    say: Say,
    text: Text,
    per_step: int,
    written: str,
    end: str | None,
    read: str | None,
) -> None:
    """Reasoning, markup and the token that ends the turn are among them; what a stop string cut off is not."""
    stop = None if end is None else text.tokenizer.special_ids[end]
    engine.play = lambda request: say(written, per_step=per_step, stop_token_id=stop)
    asked = {"tools": [tool("f")], "stop": "STOP", "n": 2, "return_token_ids": True}
    whole = await chat(http, **asked)
    first, *chunks = await stream_chat(http, **asked, stream_options={"include_usage": True})
    expected = text.tokenizer.encode_marked(written) + ([] if stop is None else [stop])
    if read is not None:
        expected = text.tokenizer.encode_marked("<|channel|>analysis<|message|>" + read)
    for choice in whole["choices"]:
        assert choice["token_ids"] == streamed([first, *chunks], choice["index"]) == expected
    assert whole["usage"]["completion_tokens"] == 2 * len(expected)
    assert whole["prompt_token_ids"] == first["prompt_token_ids"] == list(engine.submitted[0].prompt_token_ids)
    assert all("prompt_token_ids" not in chunk for chunk in chunks)


@pytest.mark.parametrize("per_step", [1, 3, 100])
async def test_of_completions(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text, per_step: int
) -> None:
    engine.play = lambda request: say(
        f"a<|end|>😀{request.prompt_token_ids[0]}STOP it", per_step=per_step, stop_token_id=ord("!")
    )
    for asked in ({}, {"stop": "STOP"}, {"echo": True, "logprobs": 0}):
        whole = await complete(http, prompt=["one", "two"], n=2, return_token_ids=True, **asked)
        chunks = await stream(http, prompt=["one", "two"], n=2, return_token_ids=True, **asked)
        for choice in whole["choices"]:
            prompt = "one" if choice["index"] < 2 else "two"
            written = text.tokenizer.encode_marked(f"a<|end|>😀{ord(prompt[0])}STOP it!")
            read = written[: -len(" it!")] if "stop" in asked else written
            assert choice["token_ids"] == streamed(chunks, choice["index"]) == read
            assert choice["prompt_token_ids"] == text.tokenizer.encode(prompt)
            own = [part for chunk in chunks for part in chunk["choices"] if part["index"] == choice["index"]]
            assert own[0]["prompt_token_ids"] == choice["prompt_token_ids"]
            assert all("prompt_token_ids" not in part for part in own[1:])


async def test_of_a_prompt_alone(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("")
    (choice,) = (await complete(http, prompt=[5, 6], max_tokens=0, return_token_ids=True))["choices"]
    assert (choice["prompt_token_ids"], choice["token_ids"]) == ([5, 6], [])


async def test_of_the_best(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(f"seed {request.sampling.seed}")
    (choice,) = (await complete(http, best_of=3, seed=1, return_token_ids=True))["choices"]
    assert bytes(choice["token_ids"]).decode() == choice["text"]


async def test_prompts_are_given_back_up_to_a_bound(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "MAX_RETURNED_IDS", 12)
    await complete(http, prompt=["abc", "abc"], n=2, return_token_ids=True)
    response = await http.post(PATH, json={"prompt": ["abc", "abcd"], "n": 2, "return_token_ids": True})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "return_token_ids")
    await complete(http, prompt=["abc", "abcd"], n=2)


@pytest.mark.parametrize("told", [{"include_reasoning": False}, {"reasoning": {"exclude": True}}])
async def test_reasoning_that_is_left_out_is_not_sent_as_ids(http: httpx.AsyncClient, told: dict) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "return_token_ids": True} | told
    response = await http.post(CHAT, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "return_token_ids")
