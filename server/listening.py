"""The server on a port: uvicorn, with bounded connections, and an end in two steps."""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI

from server.connection import BoundedProtocol
from server.logs import log
from server.state import ServerState

MAX_DESCRIPTORS = 65_536
RESERVED_DESCRIPTORS = 64
"""Files and pipes of the server's own."""
FLUSH_SECONDS = 5
"""For clients to take the last bytes of their answers."""


class Server(uvicorn.Server):
    """Told to stop, it goes on answering what it has begun, and takes nothing more; told again, it is gone at once.

    `on_kill` is called before it goes.
    """

    def __init__(self, config: uvicorn.Config, state: ServerState, on_kill: Callable[[], None]) -> None:
        super().__init__(config)
        self._state = state
        self._on_kill = on_kill
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._told = False

    async def startup(self, sockets: list[Any] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What uvicorn calls at SIGINT and SIGTERM."""
        if self._told:
            self._on_kill()
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
            os._exit(128 + sig)  # Linux spares the first process of a container what it does not handle.
        self._told = True
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._draining = asyncio.create_task(self._end())

    async def _end(self) -> None:
        admission, seconds = self._state.admission, self._state.settings.drain_seconds
        log(
            logging.INFO,
            "stopping",
            f"told to stop: no more requests are taken, and those that run ({admission.running}) have {seconds:g} s; "
            "told again, it ends at once",
        )
        await admission.drain(seconds)
        self.should_exit = True


def http_server(app: FastAPI, on_kill: Callable[[], None] = lambda: None, **options: Any) -> Server:
    """An application of `create_app`, ready to be served; `options` are uvicorn's."""
    state: ServerState = app.state.server
    protocol = partial(BoundedProtocol, limits=state.settings.limits, keys=state.settings.keys)
    config = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], protocol),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=cast(int, state.settings.limits.idle_seconds),
        timeout_graceful_shutdown=FLUSH_SECONDS,
        **options,
    )
    return Server(config, state, on_kill)


def descriptors_for_connections() -> int:
    """How many connections there may be, after the limit on open files is raised as far as it goes.

    A system may refuse what its hard limit allows, as macOS does beyond kern.maxfilesperproc: then it is half of that,
    or a quarter, … What is there is never lowered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    while wanted > there:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            there = wanted
        except (OSError, ValueError):
            wanted //= 2
    return max(1, min(there, MAX_DESCRIPTORS) - RESERVED_DESCRIPTORS)
