"""The server as an ASGI application around a given engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

import engine as engine_package
from engine.streams import EngineClient
from server.admission import Admission
from server.auth import KeyMiddleware
from server.body_memory import BodyMemory
from server.config import ServerConfig
from server.error_answers import install_error_handlers
from server.hosted_tools import HostedTools
from server.metering import MeterMiddleware
from server.metrics import Metrics
from server.openapi import DocumentedAPI
from server.origins import HostMiddleware, OriginMiddleware
from server.request_id import RequestIdMiddleware
from server.response_store import ResponseStore
from server.routes import anthropic, chat, completions, docs, health, models, page, tokenize
from server.routes import metrics as metrics_route
from server.routes import responses as response_routes
from server.state import ServerState
from server.text import Text
from server.tracing import Tracing

DESCRIPTION = """An inference server for gpt-oss-style models, with an endpoint like OpenAI's.

A null field counts as absent. Unsupported fields that would change the answer are refused. Every answer has an
`x-request-id` header: the request's own, or a new one.
"""


def create_app(
    engine: EngineClient,
    text: Text,
    settings: ServerConfig,
    *,
    weights: str | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """The application. It starts `engine` when it starts, and answers while the engine is still loading.

    `weights` is the fingerprint of the served checkpoint, if there is one. `tracing` records every request.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await app.state.server.background.close()
            await engine.stop()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    app = DocumentedAPI(
        title="Carousel",
        secured=bool(settings.keys),
        version=engine_package.__version__,
        lifespan=lifespan,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    metrics = Metrics(engine)
    fingerprint = "-".join(filter(None, ("carousel", engine_package.__version__, weights)))
    admission = Admission(engine, request_seconds=settings.request_seconds, keys=len(settings.keys))
    bodies = BodyMemory(settings.max_bodies_bytes)
    hosted_tools = HostedTools(ignored=settings.ignore_hosted_tools)
    responses = ResponseStore(settings.stored_responses_bytes)
    app.state.server = ServerState(
        engine, text, settings, metrics, admission, bodies, responses, hosted_tools, fingerprint
    )
    app.add_middleware(HostMiddleware, names=settings.host_names)  # Added first: the innermost.
    app.add_middleware(KeyMiddleware, keys=settings.keys)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],  # Whichever headers a preflight asks for.
            expose_headers=["request-id", "retry-after", "x-request-id", "x-should-retry"],
        )
    app.add_middleware(OriginMiddleware, allowed=settings.allowed_origins)
    app.add_middleware(MeterMiddleware, metrics=metrics, tracing=tracing)
    app.add_middleware(RequestIdMiddleware)
    install_error_handlers(app)
    for routes in (completions, chat, response_routes, anthropic, models, tokenize, health, metrics_route, docs, page):
        app.include_router(routes.router)
        for route in routes.router.routes:
            if isinstance(route, APIRoute) and route.methods == {"GET"}:
                app.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)
    app.router.routes.append(docs.assets)
    return app
