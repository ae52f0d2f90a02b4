import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI

from server.app import create_app
from server.config import ServerConfig
from server.text import Text
from tests.server.byte_text import byte_text
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.serving import serving

SETTINGS = ServerConfig(served_model_names=("tiny", "alias"), current_date="2025-01-31", max_body_bytes=10_000)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return byte_text(tmp_path_factory.mktemp("bytes"))


@pytest.fixture
def say(text: Text) -> Callable[..., Script]:
    """A script with the tokens of a text in which special tokens are marked, `per_step` at a time."""

    def script(answer: str, *, per_step: int = 1, **rest: object) -> Script:
        tokens = text.tokenizer.encode_marked(answer)
        return Script([tokens[i : i + per_step] for i in range(0, len(tokens), per_step)], **rest)

    return script


@pytest.fixture
def engine(text: Text, say: Callable[..., Script]) -> ScriptedEngine:
    """Answers "Hello!" to everything, until a test sets `play`."""
    return ScriptedEngine(lambda request: say("Hello!"), vocab_size=text.tokenizer.vocab_size)


@pytest.fixture
def app(engine: ScriptedEngine, text: Text) -> FastAPI:
    return create_app(engine, text, SETTINGS)


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application directly, without a port."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    async with serving(app) as url:
        yield url


@pytest.fixture
async def openai(url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], object]:
    """Waits until a condition is true."""

    async def wait(condition: Callable[[], bool]) -> None:
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.005)
        pytest.fail("it never became true")

    return wait
