"""Asks the chat endpoint, whole and streamed, and puts streams together again."""

import json

import httpx

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


async def chat(http: httpx.AsyncClient, **body: object) -> dict:
    response = await http.post(CHAT, json={"messages": HI} | body)
    assert response.status_code == 200, response.text
    return response.json()


async def stream(http: httpx.AsyncClient, **body: object) -> list[dict]:
    """The chunks of a streamed answer."""
    response = await http.post(CHAT, json={"messages": HI, "stream": True} | body)
    assert response.status_code == 200, response.text
    *events, done, end = response.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def joined(chunks: list[dict], name: str, index: int = 0) -> str | None:
    """One field of a choice's deltas, joined, without the role's chunk."""
    deltas = [c["delta"] for chunk in chunks for c in chunk["choices"] if c["index"] == index]
    pieces = [delta[name] for delta in deltas[1:] if name in delta]
    return "".join(pieces) if pieces else None


def joined_calls(chunks: list[dict], index: int = 0) -> list[dict]:
    """The functions that a choice calls, each put together from its fragments."""
    calls: list[dict] = []
    for delta in (c["delta"] for chunk in chunks for c in chunk["choices"] if c["index"] == index):
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                assert (call["index"], call["type"], call["function"]["arguments"]) == (len(calls), "function", "")
                calls.append(call["function"])
            else:
                assert call.keys() == {"index", "function"}
                assert call["function"].keys() == {"arguments"}
                calls[call["index"]]["arguments"] += call["function"]["arguments"]
    return calls


async def both(http: httpx.AsyncClient, **body: object) -> dict:
    """The only choice of an answer, after checking that streaming gives the same."""
    choice = (await chat(http, **body))["choices"][0]
    chunks = await stream(http, **body)
    message = choice["message"]
    assert message["content"] == joined(chunks, "content")
    assert message["reasoning"] == message["reasoning_content"] == joined(chunks, "reasoning")
    assert [call["function"] for call in message.get("tool_calls", ())] == joined_calls(chunks)
    end = chunks[-1]["choices"][0]
    assert (end["finish_reason"], end["stop_reason"]) == (choice["finish_reason"], choice["stop_reason"])
    return choice


def called(choice: dict) -> list[tuple[str, str]]:
    """The called functions, each with its arguments."""
    return [(c["function"]["name"], c["function"]["arguments"]) for c in choice["message"].get("tool_calls", ())]


def tool(name: str, **rest: object) -> dict:
    """The definition of a function."""
    return {"type": "function", "function": {"name": name} | rest}


def named_events(streamed: str) -> list[dict]:
    """The events of a stream, each of which must be named by its type."""
    *blocks, end = streamed.split("\n\n")
    assert end == ""
    events = []
    for block in blocks:
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events
