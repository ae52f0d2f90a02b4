"""`carousel serve`: refuses what it can before it fetches a hub model's weights, the rest before it opens the port."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import typer
import uvicorn

import engine
from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.fingerprint import fingerprint
from engine.checkpoint.verify import verify_checkpoint
from engine.config import EngineConfig
from engine.errors import CheckpointError, ConfigError
from engine.process.supervision import Supervision
from engine.process.supervisor import EngineProcess
from engine.streams import EngineClient, EngineStatus, Phase
from server.app import create_app
from server.commands.loading import LoadingBar
from server.commands.plan import plan_here
from server.commands.pull import fetch
from server.config import ServerConfig
from server.hosts import is_address, is_loopback
from server.listening import descriptors_for_connections, http_server
from server.logs import log
from server.text import Text
from server.tracing import Tracing

POLL_SECONDS = 0.1
OPEN_TO_OTHERS = (
    "ANYBODY WHO REACHES THIS PORT CAN USE THE MODEL: it listens beyond this machine and asks for no key "
    "(--api-key-file, CAROUSEL_API_KEY)"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model that can be served, as far as its files tell without all weights being read."""

    directory: Path
    text: Text
    fingerprint: str


def open_checkpoint(model: str, revision: str | None, config: EngineConfig) -> Checkpoint:
    """Fetches and verifies the model; random weights need no weight files. Raises CheckpointError or ConfigError, which
    name file and tensor, and MemoryPlanError."""
    real = config.load_format != "dummy"
    directory = fetch(
        model, revision, weights=real, check=lambda directory: check_machine(replace(config, model=directory))
    )
    model_config, text = read_model_config(directory), Text.load(directory)
    if real:
        verify_checkpoint(directory, model_config)
    if text.tokenizer.vocab_size > model_config.vocab_size:
        raise CheckpointError(
            f"{directory / 'tokenizer.json'}: has tokens up to {text.tokenizer.vocab_size - 1}, but config.json a "
            f"vocab_size of {model_config.vocab_size}"
        )
    return Checkpoint(directory, text, fingerprint(directory))


def check_machine(config: EngineConfig) -> None:
    """Raises ConfigError or MemoryPlanError if this machine lacks the device or the memory. It runs in its own process,
    because a process that has used a GPU keeps some of its memory."""
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(plan_here, config).result()
    except BrokenProcessPool as error:
        raise ConfigError(f"--device {config.device}: the process probing the device crashed") from error


def bind(host: str, port: int) -> socket.socket:
    """The listening socket; `::` also listens on IPv4, if the system can. Raises ConfigError if the address is not
    available."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = address[0] == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address[:2], family=family, backlog=2048, dualstack_ipv6=both)
    except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name.
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}") from error


def run(
    checkpoint: Checkpoint,
    settings: ServerConfig,
    config: EngineConfig,
    supervision: Supervision,
    listener: socket.socket,
    tracing: Tracing | None,
) -> None:
    """Serves until told to stop. Exits with status 1 if the engine cannot be started or restarted."""
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    model = settings.served_model_names[0]
    loading = LoadingBar()
    client = EngineProcess(config, on_plan=loading.show_plan, supervision=supervision)
    limits = replace(settings.limits, connections=descriptors_for_connections())
    settings = replace(settings, limits=limits)
    app = create_app(client, checkpoint.text, settings, weights=checkpoint.fingerprint, tracing=tracing)
    server = http_server(app, on_kill=lambda: kill(client), log_level="warning")
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        if not is_loopback(settings.host):
            names = ", ".join(name for name in settings.host_names if not is_address(name))
            log(logging.INFO, "names", f"accepted host names: addresses, localhost, {names}; --allowed-host adds more")
        if settings.open_to_others:
            log(logging.WARNING, "open", OPEN_TO_OTHERS)
        weights = f"{model} ({checkpoint.fingerprint})"
        log(logging.INFO, "start", f"Carousel {engine.__version__} is loading: {weights} at {url}")
        documented = "" if settings.keys else f" (documented at {url}/docs)"  # A browser sends no key.
        served = runner.run(serve(server, client, listener, loading, f"{model} at {url}{documented}"))
        if served:
            log(logging.INFO, "stopped", f"Carousel {engine.__version__} has stopped")
    if not served:
        raise typer.Exit(1)


def kill(client: EngineProcess) -> None:
    """Kills the engine's process."""
    if client.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(client.pid, signal.SIGKILL)


async def serve(
    server: uvicorn.Server, client: EngineClient, listener: socket.socket, loading: LoadingBar, what: str
) -> bool:
    """Returns False if the server could not be started, or its engine not started or restarted."""
    watching = asyncio.create_task(watch(server, client, loading, what))
    await server.serve(sockets=[listener])
    watching.cancel()
    (watched,) = await asyncio.gather(watching, return_exceptions=True)
    return server.started and watched is not False


async def watch(server: uvicorn.Server, client: EngineClient, loading: LoadingBar, what: str) -> bool:
    """Shows the engine loading, and logs whenever it becomes ready.

    Returns False and stops the server if the engine is dead for good, so that a supervisor can restart the server.
    """
    with loading.bar:
        async for status in statuses(client):
            if status.phase != "loading":
                break
            loading(status)
    if status.phase == "stopping":  # The server was told to stop before the engine was ready.
        return True
    if status.phase == "dead":
        log(logging.ERROR, "failed", f"cannot start: {status.message}")
        server.should_exit = True
        return False
    said: Phase = "loading"
    async for status in statuses(client):
        if status.phase != said and status.phase == "ready":
            log(logging.INFO, "ready", f"Carousel {engine.__version__} is ready: {what}")
        if status.phase == "dead":
            break
        said = status.phase
    log(logging.ERROR, "dead", f"Carousel ends: {status.message}")
    server.should_exit = True
    return False


async def statuses(client: EngineClient) -> AsyncIterator[EngineStatus]:
    """The engine's status, polled every POLL_SECONDS."""
    while True:
        yield client.status
        await asyncio.sleep(POLL_SECONDS)
