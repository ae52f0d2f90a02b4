"""What must hold after every fault: the server is ready, nothing is left behind, the canary (a fixed request) sings as
before, and nothing secret was logged."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

CANARY = {"prompt": "The canary's secret song", "max_tokens": 12, "temperature": 0, "logprobs": 0, "ignore_eos": True}
CANARY_SECONDS = 2
"""The canary needs some hundredths of a second."""
READY_SECONDS = 180
FREE_SECONDS = 60
HELD = ("requests_running", "requests_waiting", "cache_pages_held", "ring_slots_held")


@dataclass(frozen=True, slots=True)
class Aftermath:
    """`song` is the canary's choice before the fault; `log` reads the whole log.

    A test adds to `secrets` what it sends that no log may show.
    """

    http: httpx.AsyncClient
    log: Callable[[], str]
    song: dict[str, Any]
    secrets: list[str] = field(default_factory=lambda: [str(CANARY["prompt"])])

    @classmethod
    async def before(cls, http: httpx.AsyncClient, log: Callable[[], str]) -> "Aftermath":
        """Hears the canary while all is well."""
        await until_ready(http)
        return cls(http, log, await sing(http))

    async def check(self) -> None:
        await until_ready(self.http)
        await until_free(self.http)
        assert await sing(self.http) == self.song
        await until_free(self.http)
        logged = self.log()
        assert not [secret for secret in self.secrets if secret in logged]


async def sing(http: httpx.AsyncClient) -> dict[str, Any]:
    """The canary's choice, including its tokens."""
    async with asyncio.timeout(CANARY_SECONDS):
        response = await http.post("/v1/completions", json=CANARY)
    assert response.status_code == 200, response.text
    (choice,) = response.json()["choices"]
    assert len(choice["logprobs"]["tokens"]) == CANARY["max_tokens"]
    return choice


async def until_ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while (await http.get("/ready")).status_code != 200:
            await asyncio.sleep(0.02)


async def until_free(http: httpx.AsyncClient) -> None:
    """Waits until no request is in the engine and no place of its caches is held."""
    async with asyncio.timeout(FREE_SECONDS):
        while any([await metric(http, name) for name in HELD]):
            await asyncio.sleep(0.02)


async def metric(http: httpx.AsyncClient, name: str) -> float:
    """The sum over a metric's labels; `name` is without `carousel_`."""
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    values = [s.value for family in families for s in family.samples if s.name == f"carousel_{name}"]
    assert values, f"there is no metric {name}"
    return sum(values)
