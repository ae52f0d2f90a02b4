"""A real server with a tiny model: its engine in a process of its own, a port, and the log."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from fastapi import FastAPI
from safetensors.torch import save_file

from engine.config import EngineConfig, FaultPlan
from engine.process.supervision import Supervision
from engine.process.supervisor import EngineProcess
from server.app import create_app
from server.config import ServerConfig
from server.logs import logging_as
from server.text import Text
from tests.checkpoints import read_tensors, small_config, write_checkpoint
from tests.engines import TEST_CONFIG
from tests.faults.aftermath import until_ready
from tests.server.byte_text import SPECIALS, byte_text
from tests.server.serving import serving

SETTINGS = ServerConfig(served_model_names=("tiny",), current_date="2025-01-31")
VOCAB_SIZE = 256 + len(SPECIALS)
RETURN = 256 + SPECIALS.index("<|return|>")
RAISES, EXHAUSTS, SPOILS, DELAYS, HANGS = "\x01", "\x02", "\x03", "\x04", "\x05"
"""With `FAULTS`, each of these makes the step that runs it fail."""
FAULT_TOKENS = range(1, 6)
FAULTS = FaultPlan(raises=1, exhausts=2, spoils=3, delays=4, delay_seconds=0.4, hangs=5)


@dataclass(frozen=True, slots=True)
class RealServer:
    """`log` is the whole log, as JSON lines."""

    url: str
    http: httpx.AsyncClient
    engine: EngineProcess
    log: io.StringIO
    app: FastAPI


def write_tiny_model(directory: Path) -> EngineConfig:
    """Writes a checkpoint of random weights with a vocabulary of bytes, and returns how to serve it."""
    write_checkpoint(directory, small_config(vocab_size=VOCAB_SIZE, eos_token_ids=(RETURN,)))
    byte_text(directory)
    tensors = read_tensors(directory)
    tensors["lm_head.weight"][list(FAULT_TOKENS)] = 0  # Greedy decoding never chooses these.
    save_file(tensors, directory / "model.safetensors")
    return replace(TEST_CONFIG, model=directory)


@asynccontextmanager
async def real_server(
    config: EngineConfig,
    settings: ServerConfig = SETTINGS,
    *,
    supervision: Supervision | None = None,
    text: Text | None = None,
) -> AsyncIterator[RealServer]:
    """Yields once the server is ready."""
    log = io.StringIO()
    engine = EngineProcess(config, supervision=supervision)
    app = create_app(engine, text or Text.load(config.model), settings)
    with logging_as("json", log):
        async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
            await until_ready(http)
            yield RealServer(url, http, engine, log, app)
