"""A real server on a real port, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from server.listening import http_server


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Yields the server's URL."""
    server = http_server(app, port=0)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
