"""What the shipped model can be relied on for: a fixed part of training.score, over HTTP.

The model card has the whole. Of each kind at most one answer less is asked for here than was seen.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from engine.checkpoint.hub import EMBEDDED
from engine.config import EngineConfig
from engine.process.supervisor import EngineProcess
from server.app import create_app
from server.config import ServerConfig
from server.text import Text
from tests.server.serving import serving
from training.corpus import KINDS
from training.draw import Draw
from training.score import COMPLETION, Asker, Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = 8
RIGHT = {"talk": 7, "arithmetic": 7, "facts": 7, "text": 7, "memory": 7, COMPLETION: 7, "tools": 7, "json": 7}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    process = EngineProcess(EngineConfig(model=EMBEDDED, dtype="float32", device="cpu", max_num_seqs=8))
    app = create_app(process, Text.load(EMBEDDED), ServerConfig(served_model_names=("embedded",)))
    async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=120) as http:
        for _ in range(1200):
            if (await http.get("/ready")).status_code == 200:
                break
            await asyncio.sleep(0.1)
        yield http


async def ask(http: httpx.AsyncClient, kind: str, temperature: float) -> list[Outcome]:
    asker = Asker(http, "embedded", temperature, asyncio.Semaphore(8))
    if kind == COMPLETION:
        return list(await asyncio.gather(*(asker.complete(number) for number in range(ASKED))))
    exchanges = [KINDS[kind](Draw(f"score/{number}", held_out=True)) for number in range(ASKED)]
    asked = [asker.chat(kind, exchange, number) for number, exchange in enumerate(exchanges)]
    return list(await asyncio.gather(*asked))


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("kind", RIGHT)
async def test_it_answers_held_out_questions(http: httpx.AsyncClient, kind: str, temperature: float) -> None:
    outcomes = await ask(http, kind, temperature)
    assert sum(outcome.right for outcome in outcomes) >= RIGHT[kind], [each for each in outcomes if not each.right]
