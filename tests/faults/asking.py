"""Asks the tiny model for completions, whole or as a stream that is read to its end, whether it succeeds or fails."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

COMPLETIONS = "/v1/completions"


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` and the tokens' texts as far as they arrived, and the finish reason or the error that ended it."""

    text: str
    tokens: list[str]
    finish_reason: str | None
    error: dict[str, Any] | None


def body(prompt: str, max_tokens: int = 40, **rest: Any) -> dict[str, Any]:
    """A request that decodes greedily to the full length."""
    return {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "logprobs": 0,
    } | rest


async def ask(http: httpx.AsyncClient, asked: dict[str, Any]) -> Answer:
    """The whole answer, of one choice."""
    response = await http.post(COMPLETIONS, json=asked)
    content = response.json()
    if response.status_code != 200:
        return Answer("", [], None, content["error"])
    (choice,) = content["choices"]
    return Answer(choice["text"], choice["logprobs"]["tokens"], choice["finish_reason"], None)


async def stream(http: httpx.AsyncClient, asked: dict[str, Any]) -> Answer:
    """The same answer, streamed and put together; [DONE] or an error must come last."""
    response = await http.post(COMPLETIONS, json=asked | {"stream": True})
    assert response.status_code == 200, response.text
    *events, last, end = response.text.split("\n\n")
    assert end == ""
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: ")]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    error = None if last == "data: [DONE]" else json.loads(last.removeprefix("data: "))["error"]
    return Answer(
        "".join(choice["text"] for choice in choices),
        [token for choice in choices if choice["logprobs"] for token in choice["logprobs"]["tokens"]],
        next((choice["finish_reason"] for choice in choices if choice["finish_reason"]), None),
        error,
    )
