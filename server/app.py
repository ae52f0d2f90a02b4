"""The server as an ASGI application around an engine that is given to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import engine as engine_package
from engine.streams import EngineClient
from server.config import ServerConfig
from server.errors import install_error_handlers
from server.metering import MeterMiddleware
from server.metrics import Metrics
from server.request_id import RequestIdMiddleware
from server.routes import chat, completions, health, models, tokenize
from server.routes import metrics as metrics_route
from server.state import ServerState
from server.text import Text


def create_app(engine: EngineClient, text: Text, settings: ServerConfig, *, weights: str | None = None) -> FastAPI:
    """The application. It starts `engine` when it starts, and answers while the engine is still loading.

    `weights` is the fingerprint of the checkpoint served, if there is one.
    """

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
    metrics = Metrics(engine)
    fingerprint = "-".join(filter(None, ("carousel", engine_package.__version__, weights)))
    app.state.server = ServerState(engine, text, settings, metrics, fingerprint)
    app.add_middleware(MeterMiddleware, metrics=metrics)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    for routes in (completions, chat, models, tokenize, health, metrics_route):
        app.include_router(routes.router)
    return app
