"""A real server on a real port, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from uvicorn import Server

from server.listening import http_server


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[Server]:
    """Yields the server itself, with its connections."""
    server = http_server(app, port=0)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        await task


def url_of(server: Server) -> str:
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Yields the server's URL."""
    async with running(app) as server:
        yield url_of(server)
