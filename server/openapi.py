"""The OpenAPI document: what FastAPI cannot find out itself, since `server.body` reads the bodies.

Routes declare their bodies with `takes`, `streams`, `errors` and `content`; the document is made from these.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from server.auth import OPEN
from server.schemas.answer import ErrorBody

Description = dict[str, Any]

SCHEMAS = "#/components/schemas/"
RETRY_AFTER = {
    "retry-after": {
        "description": "Seconds after which to retry; for a 429 an estimate from the queue, 1 to 60.",
        "schema": {"type": "string"},
    }
}
ERRORS = {
    400: "A field, or a combination of fields, cannot be served; `param` names the field.",
    401: "The server requires an API key; the request has none, or a wrong one.",
    403: "The Host header does not match this server, or a page of another site sent the request.",
    404: "There is no such model, or no such answer.",
    413: "The body is larger than the server accepts.",
    415: "The content type is not `application/json`.",
    429: "The queue is full.",
    500: "The engine failed while answering.",
    503: "The engine is loading, stopping or dead.",
    504: "The answer was not complete within the request's time limit.",
}
GUARD_ERRORS = (401, 403)
SECURITY = {
    "key": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
"""The headers that may have a key: those of OpenAI's and of Anthropic's clients."""
GENERATION_ERRORS = tuple(status for status in ERRORS if status not in GUARD_ERRORS)
BODY_ERRORS = (400, 404, 413, 415)


class Reference(Description):
    """A reference to the JSON schema of a model."""

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__({"$ref": SCHEMAS + model.__name__})
        self.model = model


def declared_models(routes: Sequence[BaseRoute]) -> Iterator[type[BaseModel]]:
    """The models of all bodies that the routes declare, some of them repeatedly."""
    for context in iter_route_contexts(routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.include_in_schema:
            if route.response_model is not None:
                yield route.response_model
            yield from _referenced([route.responses, route.openapi_extra])


def _referenced(described: Any) -> Iterator[type[BaseModel]]:
    if isinstance(described, Reference):
        yield described.model
    elif isinstance(described, dict | list):
        for value in described.values() if isinstance(described, dict) else described:
            yield from _referenced(value)


class DocumentedAPI(FastAPI):
    """An application whose document has the schemas of all bodies; `secured` by keys or not."""

    def __init__(self, *, secured: bool, **options: Any) -> None:
        super().__init__(**options)
        self._secured = secured

    def openapi(self) -> Description:
        if not self.openapi_schema:
            document = super().openapi()
            _, schemas = models_json_schema(
                [(model, "validation") for model in dict.fromkeys(declared_models(self.routes))],
                ref_template=SCHEMAS + "{model}",
            )
            document["components"] = {"schemas": schemas["$defs"]}
            if self._secured:
                document["components"]["securitySchemes"] = SECURITY
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    operation["responses"].pop("422", None)  # FastAPI's own; this server answers 400 instead.
                    if path not in OPEN:
                        guarded = {str(status): answer for status, answer in errors(*GUARD_ERRORS).items()}
                        operation["responses"] |= guarded
                        operation |= {"security": [{name: []} for name in SECURITY]} if self._secured else {}
            self.openapi_schema = document
        return self.openapi_schema


def content(model: type[BaseModel], **examples: Description) -> Description:
    """A JSON body, with `examples` by name."""
    named = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": {"schema": Reference(model), **({"examples": named} if named else {})}}


def takes(model: type[BaseModel], **examples: Description) -> Description:
    """`openapi_extra` of a route whose body is a `model`."""
    return {"requestBody": {"required": True, "content": content(model, **examples)}}


def asks(model: type[BaseModel]) -> Description:
    """`openapi_extra` of a route that finds the fields of a `model`, all of which may be left out, in its query."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": value.pop("description"), "schema": value}
            for name, value in model.model_json_schema()["properties"].items()
        ]
    }


def streams(
    answer: type[BaseModel], chunks: Sequence[type[BaseModel]], event: str, *, done: bool = True
) -> dict[int | str, Description]:
    """`responses` of a route that answers as a whole, or with `"stream": true` in chunks; `event` is one of these.

    `done`: the stream ends with `[DONE]`, or with an error, neither of which is a chunk.
    """
    models: Sequence[type[BaseModel]] = (*chunks, ErrorBody) if done else chunks
    end = [{"const": "[DONE]"}] if done else []
    stream = {
        "schema": {
            "description": "One event. During pauses a comment is sent every 15 seconds.",
            "type": "object",
            "properties": {
                "data": {
                    "description": "The next piece of the answer; at the end, the end marker or an error.",
                    "anyOf": [
                        *end,
                        *(
                            {
                                "type": "string",
                                "contentMediaType": "application/json",
                                "contentSchema": Reference(model),
                            }
                            for model in models
                        ),
                    ],
                }
            },
            "required": ["data"],
        },
        "example": f"data: {event}\n\n" + ("data: [DONE]\n\n" if done else ""),
    }
    return {
        200: {
            "description": "The answer, as a whole or as a stream of chunks.",
            "content": {**content(answer), "text/event-stream": stream},
        }
    }


def errors(*statuses: int, body: type[BaseModel] = ErrorBody) -> dict[int | str, Description]:
    """`responses` for the errors of a route."""
    return {
        status: {
            "description": ERRORS[status],
            "content": content(body),
            **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status in statuses
    }
