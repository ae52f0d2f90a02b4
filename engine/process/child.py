"""One engine process, from its launch to its end, and the pipe to it."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.config import EngineConfig
from engine.process.wire import LENGTH, FromEngine, Start, ToEngine, decode_from_engine, frame

MAX_LINE_BYTES = 2**20
KILLED_SECONDS = 60.0
"""How long a killed process may take to end: a driver may have much to reclaim."""
LOGGED_SECONDS = 1.0
"""How long to wait for an ended process's last lines: a process that it started may still hold its stderr."""
PACKAGES = Path(__file__).parents[2]
"""The folder that holds this `engine` package."""

logger = logging.getLogger("carousel.engine")


class Child:
    """Made by `launch`. What the process writes to stderr is logged, line by line."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._logging = asyncio.create_task(self._log())

    @classmethod
    async def launch(cls, config: EngineConfig) -> "Child":
        """Starts the process and tells it what to load. Raises OSError if the system refuses."""
        start = frame(Start(config))
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "engine.process.worker",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stderr=PIPE,
                env=environment(os.environ),
                limit=MAX_LINE_BYTES,
            )
        child = cls(process, *await asyncio.open_unix_connection(sock=ours))
        child._writer.write(start)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: ToEngine) -> None:
        """Does nothing once the pipe is closed."""
        if not self._writer.is_closing():
            self._writer.write(frame(message))

    async def receive(self) -> FromEngine | None:
        """The next message; None if no more will come: the process is ending or has ended, or sent an invalid one."""
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            return decode_from_engine(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError, msgspec.MsgspecError):
            return None

    @property
    def unsent(self) -> int:
        """Bytes of messages that the process has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def end(self, seconds: float) -> str:
        """Closes the pipe, waits, and kills the process if it still runs then. Returns how it ended, in words, or that
        it cannot be killed."""
        self._writer.close()
        await self._wait(seconds)
        if not self.ended:
            self.kill()
            await self._wait(KILLED_SECONDS)
        await asyncio.wait([self._logging], timeout=LOGGED_SECONDS if self.ended else 0)
        self._logging.cancel()
        return ending(self._process.returncode or 0) if self.ended else f"process {self.pid} cannot be killed"

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)

    async def _log(self) -> None:
        assert self._process.stderr is not None
        while not self._process.stderr.at_eof():
            with contextlib.suppress(ValueError):  # A line beyond the limit is dropped.
                line = await self._process.stderr.readline()
                if text := line.decode(errors="replace").rstrip():
                    logger.error(text)


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The process's environment: it imports this one's packages. `-P` keeps it from importing from the current
    directory, which may be a checkpoint's, with Python files in it that nobody asked to run.

    >>> environment({"PYTHONPATH": "/mine"})["PYTHONPATH"].endswith(":/mine")
    True
    """
    places = (str(PACKAGES), ours.get("PYTHONPATH"))
    return {**ours, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def ending(status: int) -> str:
    """An exit status in words.

    >>> ending(1), ending(-9)
    ('exit status 1', 'killed by SIGKILL')
    """
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
