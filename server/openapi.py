"""The OpenAPI document: what FastAPI cannot see for itself, since bodies are read by `server.body`.

Routes describe themselves with `takes`, `errors` and `content`; the document is made from that.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from server.auth import OPEN
from server.schemas.answer import ErrorBody
from server.schemas.anthropic_answer import AnthropicError, AnthropicMessage, CountedTokens
from server.schemas.anthropic_events import MESSAGE_EVENTS
from server.schemas.anthropic_request import AnthropicPrompt, AnthropicRequest
from server.schemas.chat import ChatRequest
from server.schemas.chat_answer import ChatChunk, ChatCompletion
from server.schemas.completions import Completion, CompletionRequest
from server.schemas.health import Health, Readiness, Version
from server.schemas.listed_items import InputItemList
from server.schemas.models import Model, ModelList
from server.schemas.response import DeletedResponse, Response
from server.schemas.response_events import EVENTS
from server.schemas.response_request import ResponseRequest
from server.schemas.tokenize import DetokenizedText, DetokenizeRequest, TokenizeRequest, Tokens

Description = dict[str, Any]

MODELS: tuple[type[BaseModel], ...] = (
    ChatRequest, ChatCompletion, ChatChunk, CompletionRequest, Completion, TokenizeRequest, Tokens,
    DetokenizeRequest, DetokenizedText, ModelList, Model, Health, Readiness, Version, ErrorBody,
    ResponseRequest, Response, DeletedResponse, InputItemList, *EVENTS, AnthropicRequest, AnthropicMessage,
    *MESSAGE_EVENTS, AnthropicPrompt, CountedTokens, AnthropicError,
)  # fmt: skip
"""The bodies of all requests and answers."""

SCHEMAS = "#/components/schemas/"
RETRY_AFTER = {
    "retry-after": {
        "description": "Seconds after which to ask again: of a 429 an estimate from the queue, 1 to 60.",
        "schema": {"type": "string"},
    }
}
ERRORS = {
    400: "A field's value, or all of it together, cannot be served: `param` says which field.",
    401: "The server has API keys, and the request shows none of them.",
    403: "The request came by a name that is not this server's, or from another site's page.",
    404: "No such model, or no such answer.",
    413: "The body is larger than the server takes.",
    415: "The body is not declared as `application/json`.",
    429: "No room to wait for a turn.",
    500: "The engine failed while it was answering.",
    503: "The engine is loading, stopping or dead.",
    504: "The answer was not complete in the time that the request had.",
}
GUARD_ERRORS = (401, 403)
SECURITY = {
    "key": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
"""How a key may be shown: as OpenAI's clients do, or as Anthropic's."""
GENERATION_ERRORS = tuple(status for status in ERRORS if status not in GUARD_ERRORS)
BODY_ERRORS = (400, 404, 413, 415)


class DocumentedAPI(FastAPI):
    """An application whose document has the schemas of `MODELS`; `secured` by keys or not."""

    def __init__(self, *, secured: bool, **options: Any) -> None:
        super().__init__(**options)
        self._secured = secured

    def openapi(self) -> Description:
        if not self.openapi_schema:
            document = super().openapi()
            _, schemas = models_json_schema(
                [(model, "validation") for model in MODELS], ref_template=SCHEMAS + "{model}"
            )
            document["components"] = {"schemas": schemas["$defs"]}
            if self._secured:
                document["components"]["securitySchemes"] = SECURITY
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    operation["responses"].pop("422", None)  # FastAPI's own; refused here with a 400.
                    if path not in OPEN:
                        guarded = {str(status): answer for status, answer in errors(*GUARD_ERRORS).items()}
                        operation["responses"] |= guarded
                        operation |= {"security": [{name: []} for name in SECURITY]} if self._secured else {}
            self.openapi_schema = document
        return self.openapi_schema


def content(model: type[BaseModel], **examples: Description) -> Description:
    """A JSON body; `examples` by their names."""
    named = {name: {"value": value} for name, value in examples.items()}
    return {
        "application/json": {"schema": {"$ref": SCHEMAS + model.__name__}, **({"examples": named} if named else {})}
    }


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
    """`responses` of a route that answers at once, or with `"stream": true` in chunks; `event` is one of them.

    `done`: the stream ends with `[DONE]` or an error, which no chunk tells of.
    """
    models: Sequence[type[BaseModel]] = (*chunks, ErrorBody) if done else chunks
    end = [{"const": "[DONE]"}] if done else []
    stream = {
        "schema": {
            "description": "One event. While nothing flows, a comment is sent every 15 seconds.",
            "type": "object",
            "properties": {
                "data": {
                    "description": "More of the answer; at the end that it is over, or an error.",
                    "anyOf": [
                        *end,
                        *(
                            {
                                "type": "string",
                                "contentMediaType": "application/json",
                                "contentSchema": {"$ref": SCHEMAS + model.__name__},
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
            "description": "The answer, whole or as a stream of chunks.",
            "content": {**content(answer), "text/event-stream": stream},
        }
    }


def errors(*statuses: int, body: type[BaseModel] = ErrorBody) -> dict[int | str, Description]:
    """`responses` for the errors that a route may answer with."""
    return {
        status: {
            "description": ERRORS[status],
            "content": content(body),
            **({"headers": RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status in statuses
    }
