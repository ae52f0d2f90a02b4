"""The OpenAPI document: complete, and true."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from jsonschema_rs import validator_for
from pydantic import BaseModel, TypeAdapter

from server.app import create_app
from server.auth import Keys
from server.openapi import declared_models
from server.text import Text
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import ScriptedEngine

Document = dict[str, Any]
PROBES = {"GET /health", "GET /ping", "GET /ready"}
UNDOCUMENTED = {"/", "/page/{file}", "/openapi.json", "/docs", "/docs/assets"}


@pytest.fixture
def document(app: FastAPI) -> Document:
    return app.openapi()


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def models(app: FastAPI) -> Iterator[type[BaseModel]]:
    """The models of all bodies, and those within them."""
    waiting, seen = list(declared_models(app.routes)), set()
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        yield model
        for field in model.model_fields.values():
            waiting += inner_models(field.annotation)


def inner_models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in inner_models(argument)]


def test_every_route_is_in_it(app: FastAPI, document: Document) -> None:
    paths = {context.route.path.replace(":path", "") for context in iter_route_contexts(app.routes)}
    assert paths - UNDOCUMENTED == document["paths"].keys()
    assert len(document["paths"]) >= 9


def test_every_property_is_described(app: FastAPI, document: Document) -> None:
    schemas = document["components"]["schemas"]
    assert {model.__name__ for model in models(app)} == schemas.keys()
    undescribed = [
        f"{name}.{at}"
        for name, schema in schemas.items()
        for at, value in schema["properties"].items()
        if not value.get("description")
    ]
    assert undescribed == []
    assert [name for name, schema in schemas.items() if not schema.get("description")] == []


def test_every_property_has_an_example_unless_its_model_has_them(document: Document) -> None:
    bare = [
        f"{name}.{at}"
        for name, schema in document["components"]["schemas"].items()
        for at, value in schema["properties"].items()
        if not value.get("examples") and "#/components/schemas/" not in str(value)
    ]
    assert bare == []


def test_every_parameter_is_described(document: Document) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], name
            assert parameter["schema"].get("examples"), name
    listed = document["paths"]["/v1/responses/{response_id}/input_items"]["get"]["parameters"]
    assert [(each["name"], each["in"]) for each in listed] == [
        ("response_id", "path"), ("limit", "query"), ("order", "query"), ("after", "query"), ("include", "query"),
    ]  # fmt: skip


def test_examples_are_valid(app: FastAPI, document: Document) -> None:
    """By the model itself (fields that depend on others by their types alone), and by the document."""
    definitions = {"components": document["components"]}
    for model in models(app):
        for name, field in model.model_fields.items():
            schema = document["components"]["schemas"][model.__name__]["properties"][field.alias or name]
            for example in field.examples or ():
                if example is not None:  # As if it were absent.
                    kind = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
                    TypeAdapter(kind).validate_python(example)
                assert validator_for({**definitions, **schema}).is_valid(example), (model, name, example)


def test_examples_of_bodies_are_valid(app: FastAPI, document: Document) -> None:
    by_name = {model.__name__: model for model in declared_models(app.routes)}
    found = 0
    for _, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            name = media["schema"]["$ref"].rpartition("/")[2]
            for example in media["examples"].values():
                by_name[name].model_validate(example["value"])
                found += 1
    assert found >= 10


async def test_examples_of_bodies_are_answered(http: httpx.AsyncClient, document: Document) -> None:
    for path, methods in document["paths"].items():
        for media in methods.get("post", {}).get("requestBody", {}).get("content", {}).values():
            for name, example in media["examples"].items():
                response = await http.post(path, json=example["value"])
                assert response.status_code == 200, (path, name, response.text)


def test_what_goes_wrong_is_described(document: Document) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        responses = operation["responses"]
        assert "422" not in responses, name
        is_probe = name in PROBES
        expected: set[str] = set() if is_probe else {"401", "403"}
        assert is_probe <= (not {"401", "403"} & responses.keys())
        if "requestBody" in operation:
            expected |= {"400", "404", "413", "415"}
        if "Generation" in operation["tags"]:
            expected |= {"429", "500", "503", "504"}
            assert responses["200"]["content"].keys() == {"application/json", "text/event-stream"}
            assert "retry-after" in responses["429"]["headers"]
        assert expected <= responses.keys(), name
        for status in expected:
            schema = responses[status]["content"]["application/json"]["schema"]
            body = "AnthropicError" if "/v1/messages" in name and status not in ("401", "403") else "ErrorBody"
            assert schema == {"$ref": f"#/components/schemas/{body}"}


async def test_keys_are_described_where_there_are_any(engine: ScriptedEngine, text: Text) -> None:
    settings = replace(SETTINGS, keys=Keys.of(["key"]))
    document = create_app(engine, text, settings).openapi()
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    guarded = {
        name
        for name, operation in operations(document)
        if operation.get("security") == [{"key": []}, {"x-api-key": []}]
    }
    assert guarded == {name for name, _ in operations(document)} - PROBES
    assert "security" not in str(create_app(engine, text, SETTINGS).openapi())


def test_references_lead_somewhere(document: Document) -> None:
    validator_for({"$ref": "#/components/schemas/ChatRequest", "components": document["components"]})
    schemas = document["components"]["schemas"]
    references = [part.split("'")[0].split(")")[0] for part in str(document).split("#/components/schemas/")[1:]]
    assert len(references) > 50
    assert set(references) <= schemas.keys()


async def test_the_page_works_offline(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name, media_type in (("swagger-ui-bundle.js", "javascript"), ("swagger-ui.css", "css")):
        assert f"docs/assets/{name}" in page.text
        asset = await http.get(f"/docs/assets/{name}")
        assert (asset.status_code, media_type in asset.headers["content-type"]) == (200, True)
    assert (await http.get("/docs/assets/none")).status_code == 404
    document = (await http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
