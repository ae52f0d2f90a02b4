"""The server of the soak: `python -m tests.soak.server MODEL BUG DIRECTORY`; prints its port.

A real uvicorn with the engine in its own process, where the soak's worker runs.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from engine.process.supervisor import EngineProcess
from server.app import create_app
from server.config import ServerConfig
from server.text import Text
from tests.server.serving import serving
from tests.soak.models import ModelName, engine_config

launch = asyncio.create_subprocess_exec


def start_worker_as(*command: str) -> None:
    """Makes the server start this module with these arguments instead of `python -m engine.process.worker`."""

    async def launch_other(program: str, *arguments: str, **options: Any) -> Process:
        at = arguments.index("engine.process.worker")
        return await launch(program, *arguments[:at], *command, *arguments[at + 1 :], **options)

    asyncio.create_subprocess_exec = launch_other  # type: ignore[assignment]


async def serve(model: ModelName, bug: str, directory: Path) -> None:
    """Serves until SIGTERM."""
    start_worker_as("tests.soak.worker", model, bug, str(directory / "audit"))
    engine = EngineProcess(engine_config(model, directory))
    app = create_app(engine, Text.load(directory), ServerConfig(served_model_names=("soak",)))
    async with serving(app) as url:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        print(url, flush=True)
        await stopping.wait()


if __name__ == "__main__":
    _, name, planted, where = sys.argv
    assert name in get_args(ModelName)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(name, planted, Path(where)))  # type: ignore[arg-type]
