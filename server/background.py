"""Answers that are made while nobody listens."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Tasks by the ids of the answers they make."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, response_id: str, work: Coroutine[Any, Any, None]) -> None:
        """Returns once it has begun, so that cancelling it finds it at work."""
        task = asyncio.create_task(work)
        self._tasks[response_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(response_id, None))
        await asyncio.sleep(0)

    async def cancel(self, response_id: str) -> None:
        """Returns once it has ended; at once, if there is none."""
        if (task := self._tasks.get(response_id)) is not None:
            task.cancel()
            await asyncio.wait({task})

    async def close(self) -> None:
        """Cancels all."""
        for response_id in list(self._tasks):
            await self.cancel(response_id)
