"""`/v1/responses` with `truncation: auto`: what does not fit goes, the oldest first."""

import threading
from dataclasses import dataclass, field, replace

import httpx
import pytest
from fastapi import FastAPI

from engine.prompt.chat import ChatRenderer, Conversation
from server.app import create_app
from server.routes.answering import ANSWER_SHARE
from server.text import Text
from server.translate.shortened import shortened
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import ScriptedEngine

PATH = "/v1/responses"
Items = list[dict]
SMALL_CONTEXT = replace(SETTINGS, max_body_bytes=2**20)


def turns(count: int, length: int = 100) -> Items:
    """Questions and answers in turn, a question the last; each of `length` characters, which are tokens here."""
    return [{"role": ("user", "assistant")[at % 2], "content": f"{at:03}".ljust(length, "x")} for at in range(count)]


async def ask(http: httpx.AsyncClient, items: Items, **body: object) -> dict:
    response = await http.post(PATH, json={"input": items, "truncation": "auto"} | body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture
def app(engine: ScriptedEngine, text: Text) -> FastAPI:
    """Takes conversations of many times its context."""
    return create_app(engine, text, SMALL_CONTEXT)


@pytest.fixture
def room(engine: ScriptedEngine) -> int:
    """Tokens that a truncated prompt may have beside an answer of any length."""
    return engine.info.max_model_len - engine.info.max_model_len // ANSWER_SHARE


async def test_an_input_of_twice_the_context(http: httpx.AsyncClient, engine: ScriptedEngine, room: int) -> None:
    items = turns(61)
    refused = await http.post(PATH, json={"input": items, "truncation": "disabled"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert (await http.post(PATH, json={"input": items})).json() == refused.json(), "as if nothing were said"
    answer = await ask(http, items, instructions="Be brief.")
    assert (answer["truncation"], answer["status"]) == ("auto", "completed")
    cut = engine.submitted[-1].prompt_token_ids
    assert answer["usage"]["input_tokens"] == len(cut) <= room
    prompts = []
    for first in range(61):
        cut_by_client = await http.post(PATH, json={"input": items[first:], "instructions": "Be brief."})
        if cut_by_client.status_code == 200:
            prompts.append(engine.submitted[-1].prompt_token_ids)
    assert cut in prompts
    longer = prompts[prompts.index(cut) - 1]
    assert len(longer) > room, "no more goes than must"
    more = await ask(http, [{"role": "user", "content": "And?"}], previous_response_id=answer["id"])
    listed = (await http.get(f"{PATH}/{more['id']}/input_items", params={"limit": 100})).json()
    assert len(listed["data"]) == 63, "what the model is not shown is kept"


async def test_what_fits_stays_whole(http: httpx.AsyncClient, engine: ScriptedEngine, room: int) -> None:
    """Up to the last token, however little is left for the answer."""
    items = turns(31)
    await ask(http, items)
    shown = engine.submitted[-1].prompt_token_ids
    items[0]["content"] += "x" * (engine.info.max_model_len - len(shown) - 1)
    for truncation in ("auto", "disabled"):
        await ask(http, items, truncation=truncation)
    whole, same = engine.submitted[-2:]
    assert room < len(whole.prompt_token_ids) == engine.info.max_model_len - 1
    assert whole.prompt_token_ids == same.prompt_token_ids
    items[0]["content"] += "xx"
    await ask(http, items, max_output_tokens=100)
    assert len(engine.submitted[-1].prompt_token_ids) <= engine.info.max_model_len - 100
    await ask(http, items)
    assert len(engine.submitted[-1].prompt_token_ids) <= room


async def test_what_stays_and_what_goes_with_it(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    """Instructions stay wherever they stand; a result goes with its call, also one that stands behind the question."""

    def calling(name: str, output: str) -> Items:
        call = {"type": "function_call", "call_id": name, "name": "f", "arguments": f'{{"a": "{"y" * 600}"}}'}
        return [call, {"type": "function_call_output", "call_id": name, "output": output}]

    hi, late = {"role": "user", "content": "x" * 1900}, calling("late", "gamma")
    items = [
        {"role": "system", "content": "Told first."}, hi, late[0], {"role": "developer", "content": "Told then."},
        *calling("same", "alpha"), *calling("same", "beta"), {"role": "user", "content": "z" * 1900}, late[1],
    ]  # fmt: skip
    for length, goes in ((1900, (True, True, False, True)), (900, (True, False, False, True))):
        items[-2]["content"] = "z" * length
        await ask(http, items, tools=[{"type": "function", "name": "f"}])
        shown = text.tokenizer.decode(engine.submitted[-1].prompt_token_ids)
        assert all(part in shown for part in ("Told first.", "Told then.", "z" * length))
        assert tuple(part not in shown for part in ("x" * 1900, "alpha", "beta", "gamma")) == goes
    refused = await http.post(PATH, json={"input": [hi, {"role": "user", "content": "x" * 4500}], "truncation": "auto"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "input")


@dataclass
class Watched:
    """A renderer of which is known where it was called."""

    renderer: ChatRenderer
    threads: list[threading.Thread] = field(default_factory=list)

    def render(self, conversation: Conversation) -> list[int]:
        self.threads.append(threading.current_thread())
        return self.renderer.render(conversation)


async def test_the_loop_goes_on(engine: ScriptedEngine, text: Text) -> None:
    """It is rendered aside, and not for each message."""
    watched = Watched(text.renderer)
    app = create_app(engine, replace(text, renderer=watched), SMALL_CONTEXT)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        await ask(http, turns(501))
    assert threading.main_thread() not in watched.threads
    assert len(watched.threads) <= 1 + 9


@pytest.mark.parametrize("count", [1, 2, 3, 8, 33])
def test_as_few_go_as_can(count: int) -> None:
    """Whatever the room is."""
    messages = tuple({"role": "user", "content": "x"} for _ in range(count))

    def render(conversation: Conversation) -> list[int]:
        return [0] * (10 + len(conversation.messages))

    for room in range(10 + count + 2):
        kept = len(shortened(Conversation(messages), render, room)) - 10
        assert kept == max(1, min(count, room - 10))
