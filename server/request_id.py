"""The `x-request-id` header: the client's own, if it is valid, otherwise a new one."""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.anthropic_form import is_anthropic

SANE = re.compile(r"[!-~]{1,128}")


def new_request_id() -> str:
    return f"req-{uuid4().hex}"


class RequestIdMiddleware:
    """Plain ASGI, so that a response can see its client disconnect. Also sets `request.state.request_id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if SANE.fullmatch(sent) else new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                if is_anthropic(scope["path"]):
                    headers["request-id"] = request_id  # The header that Anthropic's clients read.
            await send(message)

        await self._app(scope, receive, send_with_id)
