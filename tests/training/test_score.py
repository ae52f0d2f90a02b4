"""The scorer against a server that is scripted to be right, or to be wrong."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from training.corpus import KINDS
from training.draw import Draw
from training.exchange import Call, Exchange
from training.score import Asker, Outcome, reasoning_lengths, summarise, table_of

TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}


class Scripted:
    """Answers an exchange: its calls, then its answer. `spoilt` replaces a part of what it says."""

    def __init__(self, exchange: Exchange, spoilt: tuple[str, str] = ("", "")) -> None:
        self.exchange, self.spoilt = exchange, spoilt
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        made = sum(message["role"] == "tool" for message in body["messages"])
        message: dict[str, Any] = {"role": "assistant", "content": self.said(self.exchange.answer), "reasoning": "Hm."}
        if made < len(self.exchange.calls):
            call = self.exchange.calls[made]
            function = {"name": self.said(call.name), "arguments": self.said(json.dumps(call.arguments))}
            message |= {"content": None, "tool_calls": [{"id": f"{made}", "type": "function", "function": function}]}
        return httpx.Response(200, json={"choices": [{"message": message}]})

    def said(self, text: str) -> str:
        return text.replace(*self.spoilt) if self.spoilt[0] else text


def ask(kind: str, exchange: Exchange, server: Scripted) -> Outcome:
    async def run() -> Outcome:
        async with httpx.AsyncClient(transport=httpx.MockTransport(server), base_url="http://server") as http:
            return await Asker(http, "embedded", 0.0, asyncio.Semaphore(1)).chat(kind, exchange, 0)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_what_training_would_answer_is_right(kind: str) -> None:
    for seed in range(20):
        exchange = KINDS[kind](Draw(f"{seed}", held_out=True))
        outcome = ask(kind, exchange, Scripted(exchange))
        assert outcome.right, outcome
        assert outcome.reasoning == 3 * (1 + len(exchange.calls))


@pytest.mark.parametrize("spoilt", [("city", "town"), ("now", "later"), ("Oslo", "Rome"), ("17", "18")])
def test_a_wrong_call_or_answer_is_wrong(spoilt: tuple[str, str]) -> None:
    calls = (Call("", "now", {"city": "Oslo"}, '{"result": "17:00"}'),)
    exchange = Exchange("What time is it in Oslo?", "", "It is 17:00.", "17:00", tools=(TOOL,), calls=calls)
    assert ask("tools", exchange, Scripted(exchange)).right
    assert not ask("tools", exchange, Scripted(exchange, spoilt)).right


def test_a_call_where_none_fits_is_wrong_and_so_is_none_where_one_does() -> None:
    calls = (Call("", "now", {}, '{"result": "5"}'),)
    none = Exchange("Paint the house.", "", "I cannot.", "none", tools=(TOOL,))
    one = Exchange("What time is it?", "", "It is 5.", "5", tools=(TOOL,), calls=calls)
    assert not ask("tools", none, Scripted(one)).right
    assert not ask("tools", one, Scripted(Exchange("", "", "It is 5."))).right
    assert ask("tools", none, Scripted(none)).right


def test_the_whole_request_is_sent() -> None:
    exchange = KINDS["json"](Draw("3", held_out=True))
    server = Scripted(exchange)
    ask("json", exchange, server)
    (body,) = server.bodies
    assert body["response_format"] == {"type": "json_schema", "json_schema": exchange.schema}
    assert (body["temperature"], body["reasoning_effort"]) == (0.0, exchange.effort)
    told = KINDS["memory"](Draw("3", held_out=True))
    server = Scripted(told)
    ask("memory", told, server)
    sent = [message["content"] for message in server.bodies[0]["messages"]]
    assert sent == [text for pair in told.history for text in pair] + [told.question]


def test_scores_are_shares_by_kind_and_temperature() -> None:
    outcomes = [
        Outcome("talk", 0.0, "", "", "", True, "low", 10),
        Outcome("talk", 0.0, "", "", "", False, "low", 10),
        Outcome("talk", 0.7, "", "", "", True, "low", 10),
        Outcome("arithmetic", 0.0, "", "", "", True, "high", 30),
        Outcome("arithmetic", 0.7, "", "", "", True, "high", 50),
    ]
    scores = summarise(outcomes)
    assert scores == {"talk": {"0.0": 0.5, "0.7": 1.0}, "arithmetic": {"0.0": 1.0, "0.7": 1.0}}
    assert reasoning_lengths(outcomes) == {"high": 40.0}
    assert table_of(scores, 2).row_count == 2
