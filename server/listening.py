"""The server on a port: uvicorn, with bounded connections, and a shutdown in two steps."""

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
"""For the server's own files and pipes."""
FLUSH_SECONDS = 5
"""The time that clients have to read the last bytes of their answers."""


class Server(uvicorn.Server):
    """At the first signal to stop, the server refuses new requests and finishes running ones; at the second it exits at
    once, after a call of `on_kill`.
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
        """Called by uvicorn at SIGINT and SIGTERM."""
        if self._told:
            self._on_kill()
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
            os._exit(128 + sig)  # In the first process of a container Linux ignores signals without a handler.
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
            f"stopping: new requests are refused, running ones ({admission.running}) have {seconds:g} s; "
            "a second signal stops the server at once",
        )
        await admission.drain(seconds)
        self.should_exit = True


def http_server(app: FastAPI, on_kill: Callable[[], None] = lambda: None, **options: Any) -> Server:
    """A server for an application made by `create_app`; `options` are uvicorn's."""
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
    """The most connections there may be, after the limit on open files was raised as far as possible.

    A system may refuse what its hard limit allows, as macOS does beyond kern.maxfilesperproc: then half of it is tried,
    a quarter, and so on. The limit is never lowered.
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
