"""vLLM's fields for what of the tokens is read and shown."""

from collections.abc import Callable

import httpx
import pytest

from engine.request import FinishReason
from server.text import Text
from tests.server.asking import both, chat
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.test_completions import complete, stream, texts

Say = Callable[..., Script]


async def test_special_tokens_are_shown_if_asked_for(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text
) -> None:
    end = text.tokenizer.special_ids["<|return|>"]
    engine.play = lambda request: say("<|channel|>a<|message|>b", stop_token_id=end)
    asked = {"prompt": [97, end], "echo": True, "skip_special_tokens": False}
    for more, shown in (
        ({}, "a<|return|><|channel|>a<|message|>b"),
        ({"include_stop_str_in_output": True}, "a<|return|><|channel|>a<|message|>b<|return|>"),
        ({"include_stop_str_in_output": True, "skip_special_tokens": True}, "aab"),
    ):
        body = asked | more
        assert (await complete(http, **body))["choices"][0]["text"] == shown
        assert texts(await stream(http, **body)) == [shown]


@pytest.mark.parametrize("per_step", [1, 2, 50])
async def test_what_ends_an_answer_is_shown_if_asked_for(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int
) -> None:
    engine.play = lambda request: say("go STSTOP it", per_step=per_step, stop_token_id=ord("!"))
    for stop, shown in (("STOP", "go STSTOP"), ("never", "go STSTOP it!")):
        asked = {"stop": stop, "stop_token_ids": [ord("!")], "include_stop_str_in_output": True, "logprobs": 0}
        whole = await complete(http, **asked)
        chunks = await stream(http, **asked, stream_options={"include_usage": True})
        choice = whole["choices"][0]
        assert [choice["text"]] == texts(chunks) == [shown]
        assert choice["stop_reason"] == ("STOP" if stop == "STOP" else ord("!"))
        assert "".join(choice["logprobs"]["tokens"]) == shown
        assert whole["usage"] == chunks[-1]["usage"]


@pytest.mark.parametrize("per_step", [1, 3, 100])
async def test_what_ends_a_chats_answer_is_shown_if_asked_for(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int
) -> None:
    final = "<|end|><|start|>assistant<|channel|>final<|message|>"
    written = f"<|channel|>analysis<|message|>do STOP it{final}go STOP it"
    engine.play = lambda request: say(written, per_step=per_step, stop_token_id=ord("!"))
    for stop, shown in (("STOP", "go STOP"), ("never", "go STOP it!")):
        asked = {"stop": stop, "stop_token_ids": [ord("!")], "include_stop_str_in_output": True}
        assert (await both(http, **asked))["message"]["content"] == shown


async def test_tokens_by_their_ids(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    """Those that are parts of a character have one text."""
    engine.play = lambda request: Script([[0xF0, 0x9F]], FinishReason.LENGTH)
    asked = {"logprobs": 2}
    by_text = (await complete(http, **asked))["choices"][0]["logprobs"]
    by_id = (await complete(http, **asked, return_tokens_as_token_ids=True))["choices"][0]["logprobs"]
    assert by_text["tokens"] == ["\ufffd"] * 2
    assert by_id["tokens"] == ["token_id:240", "token_id:159"]
    assert list(by_id["top_logprobs"][0]) == ["token_id:241", "token_id:240"]
    assert (by_id["token_logprobs"], by_id["text_offset"]) == (by_text["token_logprobs"], by_text["text_offset"])


async def test_tokens_of_a_chat_by_their_ids(http: httpx.AsyncClient) -> None:
    asked = {"logprobs": True, "top_logprobs": 2}
    by_text = (await chat(http, **asked))["choices"][0]["logprobs"]["content"]
    by_id = (await chat(http, **asked, return_tokens_as_token_ids=True))["choices"][0]["logprobs"]["content"]
    assert len(by_text) == len("Hello!")
    for text, named in zip(by_text, by_id, strict=True):
        assert named["token"] == f"token_id:{text['bytes'][0]}"
        assert [top["token"] for top in named["top_logprobs"]] == [
            f"token_id:{top['bytes'][0]}" for top in text["top_logprobs"]
        ]
        assert (named["logprob"], named["bytes"]) == (text["logprob"], text["bytes"])


async def test_the_last_tokens_of_prompts(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    await complete(http, prompt=["abcd", "a"], truncate_prompt_tokens=3)
    await complete(http, prompt=[[1, 2, 3], [4]], truncate_prompt_tokens=1)
    prompts = [request.prompt_token_ids for request in engine.submitted]
    assert prompts == [(98, 99, 100), (97,), (3,), (4,)]
    for max_tokens, kept in ((0, 4096), (1, 4096), (16, 4081)):
        answer = await complete(http, prompt=[1] * 5 + [2] * 4096, truncate_prompt_tokens=-1, max_tokens=max_tokens)
        assert engine.submitted[-1].prompt_token_ids == (2,) * kept
        assert answer["usage"]["prompt_tokens"] == kept
