"""Everything real but the model, which is tiny: its engine in a process of its own, behind a port, and the log."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from fastapi import FastAPI

from engine.config import EngineConfig
from engine.process.supervisor import EngineProcess
from server.app import create_app
from server.config import ServerConfig
from server.logs import logging_as
from server.text import Text
from tests.checkpoints import small_config, write_checkpoint
from tests.engines import TEST_CONFIG
from tests.faults.aftermath import until_ready
from tests.server.byte_text import SPECIALS, byte_text
from tests.server.serving import serving

SETTINGS = ServerConfig(served_model_names=("tiny",), current_date="2025-01-31")
VOCAB_SIZE = 256 + len(SPECIALS)
RETURN = 256 + SPECIALS.index("<|return|>")


@dataclass(frozen=True, slots=True)
class RealServer:
    """`log` is all that was logged, as JSON lines."""

    url: str
    http: httpx.AsyncClient
    engine: EngineProcess
    log: io.StringIO
    app: FastAPI


def write_tiny_model(directory: Path) -> EngineConfig:
    """A checkpoint of random weights with a vocabulary of bytes, and how to serve it."""
    write_checkpoint(directory, small_config(vocab_size=VOCAB_SIZE, eos_token_ids=(RETURN,)))
    byte_text(directory)
    return replace(TEST_CONFIG, model=directory)


@asynccontextmanager
async def real_server(
    config: EngineConfig, settings: ServerConfig = SETTINGS, text: Text | None = None
) -> AsyncIterator[RealServer]:
    """Yields once it is ready."""
    log = io.StringIO()
    engine = EngineProcess(config)
    app = create_app(engine, text or Text.load(config.model), settings)
    with logging_as("json", log):
        async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
            await until_ready(http)
            yield RealServer(url, http, engine, log, app)
