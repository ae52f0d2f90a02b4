"""The clients of the soak: each asks, waits for the end, asks again; now and then there is a burst besides.

Half of a client's requests are read to the end, and a fifth are abandoned at some moment. The others have stop strings,
several choices or log-probabilities, are read slowly, or are invalid.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import httpx

from tests.soak.deck import Card, Choice, Deck, Kind
from tests.soak.tally import Tally

Manner = Literal["read", "leave", "slow", "bad", "stop", "several", "logprobs"]
MANNERS: dict[Manner, int] = {"read": 50, "leave": 20, "stop": 6, "several": 6, "logprobs": 6, "slow": 6, "bad": 6}
"""Shares in percent."""
KINDS: dict[Manner, Kind] = {"stop": "stop", "several": "several", "logprobs": "logprobs"}
BAD: tuple[bytes, ...] = (
    b"", b"[]", b"{", b"[" * 100_000, b'{"prompt": ""}', b'{"prompt": "a", "n": 0}', b'{"prompt": "a", "top_p": 0}',
    b'{"prompt": "a", "max_tokens": -1}', b'{"prompt": [265]}', b'{"prompt": "a", "stop": [""]}',
    b'{"prompt": "a", "temperature": NaN}', b'{"prompt": "a", "suffix": "b"}', b'{"prompt": "a", "logprobs": 21}',
    b'{"prompt": "' + b"a" * 300 + b'"}', b'{"prompt": "a", "max_tokens": ' + b"9" * 5000 + b"}",
)  # fmt: skip
CLIENTS = 24
BURST = 64
BURST_EVERY = 10.0
"""Seconds."""
LOST_SECONDS = 60.0
"""A request without an end by then counts as lost."""
BACKOFF_SECONDS = 1.0
"""The server's shortest Retry-After: clients that come back too early are wanted here."""


@dataclass(slots=True)
class Reading:
    """The part of an answer read so far: text, end and log-probabilities by choice."""

    texts: dict[int, str] = field(default_factory=dict)
    finishes: dict[int, str | None] = field(default_factory=dict)
    logprobs: dict[int, list[float]] = field(default_factory=dict)
    whole: bool = False
    error: str | None = None

    def add(self, choice: dict[str, Any]) -> None:
        index = choice["index"]
        self.texts[index] = self.texts.get(index, "") + choice["text"]
        self.finishes[index] = choice["finish_reason"] or self.finishes.get(index)
        if choice.get("logprobs"):
            self.logprobs.setdefault(index, []).extend(choice["logprobs"]["token_logprobs"])

    @property
    def answer(self) -> tuple[Choice, ...]:
        return tuple(
            Choice(self.texts[i], self.finishes[i], tuple(self.logprobs.get(i, ()))) for i in sorted(self.texts)
        )


class Crowd:
    """All clients of one server."""

    def __init__(self, url: str, deck: Deck, tally: Tally, seed: int) -> None:
        self._url = url
        self._deck = deck
        self._tally = tally
        self._random = Random(seed)

    async def run(self, seconds: float) -> None:
        """Runs until the time is over and every client has had its answer."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=CLIENTS)
        timeout = httpx.Timeout(LOST_SECONDS)
        async with httpx.AsyncClient(base_url=self._url, limits=limits, timeout=timeout) as http:
            self._http = http
            loop = asyncio.get_running_loop()
            end = loop.time() + seconds
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(self._client(Random(self._random.getrandbits(64) + number), end))
                while (left := end - loop.time()) > 0 and not self._tally.stopped:
                    await asyncio.sleep(min(BURST_EVERY / 2, left))
                    for _ in range(BURST if loop.time() < end and not self._tally.stopped else 0):
                        group.create_task(self._once(Random(self._random.getrandbits(64))))
                    await asyncio.sleep(max(0, min(BURST_EVERY / 2, end - loop.time())))

    async def _client(self, random: Random, end: float) -> None:
        while asyncio.get_running_loop().time() < end and not self._tally.stopped:
            if await self._once(random) in ("rejected", "errored"):
                await asyncio.sleep(random.uniform(0.5, 1.5) * BACKOFF_SECONDS)

    async def _once(self, random: Random) -> str:
        """Sends one request and counts its outcome."""
        (manner,) = random.choices(list(MANNERS), list(MANNERS.values()))
        card = random.choice(self._deck[KINDS.get(manner, "plain")])
        began = self._tally.sending()
        try:
            async with asyncio.timeout(LOST_SECONDS):
                outcome = await (self._bad(random) if manner == "bad" else self._ask(card, manner, random))
        except httpx.TransportError as error:
            outcome = self._tally.errored(began, f"{type(error).__name__}: {error}")
        except TimeoutError:
            outcome = self._tally.lost(f"{manner} {card.body}")
        return outcome

    async def _bad(self, random: Random) -> str:
        content = random.choice(BAD)
        headers = {"content-type": "application/json"}
        response = await self._http.post("/v1/completions", content=content, headers=headers)
        if response.status_code not in (400, 429, 503):
            self._tally.mismatch(f"{response.status_code} for {content[:60]!r}")
        return self._tally.rejected()

    async def _ask(self, card: Card, manner: Manner, random: Random) -> str:
        began = self._tally.now()
        if random.random() < 0.5 or manner == "slow":
            reading = await self._stream(card, manner, random)
        else:
            reading = await self._whole(card, manner, random)
        if isinstance(reading, int):
            if reading in (429, 503):
                return self._tally.rejected()
            return self._tally.errored(began, f"status {reading}")
        if reading.error is not None:
            return self._tally.errored(began, reading.error)
        if not reading.whole:
            return self._tally.aborted()
        if reading.answer != card.answer:
            self._tally.mismatch(f"{card.body}: {reading.answer} instead of {card.answer}")
        return self._tally.completed()

    async def _whole(self, card: Card, manner: Manner, random: Random) -> Reading | int:
        asking = asyncio.create_task(self._http.post("/v1/completions", json=card.body))
        try:
            async with asyncio.timeout(random.expovariate(10) if manner == "leave" else None):
                response = await asking
        except TimeoutError:
            if manner == "leave":
                return Reading()
            raise
        if response.status_code != 200:
            return response.status_code
        reading = Reading(whole=True)
        for choice in response.json()["choices"]:
            reading.add(choice)
        return reading

    async def _stream(self, card: Card, manner: Manner, random: Random) -> Reading | int:
        reading, body = Reading(), card.body | {"stream": True}
        chunks = random.randint(0, card.body["max_tokens"]) if manner == "leave" else None
        async with self._http.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != 200:
                return response.status_code
            async with aclosing(self._events(response)) as events:
                async for number, event in enumerated(events):
                    if number == chunks:
                        return reading
                    if event is None:
                        reading.whole = True
                        continue
                    if "error" in event:
                        reading.error = event["error"]["message"]
                        return reading
                    for choice in event["choices"]:
                        reading.add(choice)
                    if manner == "slow":
                        await asyncio.sleep(random.uniform(0, 0.2))
        if not reading.whole and reading.error is None:
            reading.error = "the stream ended without [DONE]"
        return reading

    async def _events(self, response: httpx.Response) -> AsyncIterator[dict[str, Any] | None]:
        """The events' data; None for [DONE]."""
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                data = line.removeprefix("data: ")
                yield None if data == "[DONE]" else json.loads(data)


async def enumerated(events: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    number = 0
    async for event in events:
        yield number, event
        number += 1
