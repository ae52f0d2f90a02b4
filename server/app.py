"""The server as an ASGI application around an engine that is given to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import engine as engine_package
from engine.streams import EngineClient
from server.config import ServerConfig
from server.errors import install_error_handlers
from server.request_id import RequestIdMiddleware
from server.routes import chat, completions, health, models, tokenize
from server.state import ServerState
from server.text import Text


def create_app(engine: EngineClient, text: Text, settings: ServerConfig) -> FastAPI:
    """The application. It starts `engine` when it starts, and answers while the engine is still loading."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await engine.stop()

    app = FastAPI(
        title="Carousel",
        version=engine_package.__version__,
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.server = ServerState(engine, text, settings)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    for routes in (completions, chat, models, tokenize, health):
        app.include_router(routes.router)
    return app
