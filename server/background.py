"""Answers that are generated in the background."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """The tasks of background answers, by the ids of the answers."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, response_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Starts the work, and returns once it is running, so that it can be cancelled."""
        task = asyncio.create_task(work)
        self._tasks[response_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(response_id, None))
        await asyncio.sleep(0)

    async def cancel(self, response_id: str) -> None:
        """Cancels the task, if there is one, and returns once it has ended."""
        if (task := self._tasks.get(response_id)) is not None:
            task.cancel()
            await asyncio.wait({task})

    async def close(self) -> None:
        """Cancels all tasks."""
        for response_id in list(self._tasks):
            await self.cancel(response_id)
