"""Requests made up from the OpenAPI document, right ones and wrong ones: no answer is a 5xx, all are as described."""

from dataclasses import replace

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from server.app import create_app
from server.text import Text
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
WITH_BODY = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/tokenize",
    "/detokenize",
]
WITHOUT = [
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model_id}"),
    ("GET", "/v1/responses/{response_id}"),
    ("DELETE", "/v1/responses/{response_id}"),
    ("GET", "/v1/responses/{response_id}/input_items"),
    ("POST", "/v1/responses/{response_id}/cancel"),
    ("GET", "/health"),
    ("GET", "/ping"),
    ("GET", "/ready"),
    ("GET", "/version"),
    ("GET", "/metrics"),
]


@pytest.fixture(scope="module")
def described(text: Text) -> BaseSchema:
    """The application, as its document describes it."""
    hello = Script([[token] for token in b"Hello!"])
    engine = ScriptedEngine(lambda request: hello, vocab_size=text.tokenizer.vocab_size)
    # Lists that are too long are large, and refused for their length, not for that.
    settings = replace(SETTINGS, max_body_bytes=2**26, max_bodies_bytes=2**28, allowed_hosts=("testserver",))
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(engine, text, settings))


def test_no_operation_is_left_out(described: BaseSchema) -> None:
    labels = {f"{method} {path}" for method, path in [*WITHOUT, *(("POST", path) for path in WITH_BODY)]}
    assert {operation.ok().label for operation in described.get_all_operations()} == labels


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", WITH_BODY)
def test_bodies(described: BaseSchema, path: str, mode: GenerationMode) -> None:
    answered(described, path, "POST", mode, 40)


@pytest.mark.parametrize(("method", "path"), WITHOUT)
def test_questions(described: BaseSchema, method: str, path: str) -> None:
    answered(described, path, method, GenerationMode.POSITIVE, 10)


def answered(described: BaseSchema, path: str, method: str, mode: GenerationMode, examples: int) -> None:
    """Asks, and checks the answers. The same examples each time."""

    @given(case=described[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    def ask(case: Case) -> None:
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
            case.body.pop("timeout", None)  # No answer is complete in a nanosecond: a 504, as it should be.
        case.call_and_validate(checks=CHECKS)

    ask()
