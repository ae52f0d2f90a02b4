"""What prompts show of the schemas that programs make of their classes."""

import json
from enum import StrEnum
from itertools import pairwise
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from engine.prompt.conversation import Conversation
from engine.prompt.tool_schema import MAX_COPIED, Copies, simplified
from engine.prompt.typescript import render_functions, type_of


class Unit(StrEnum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


class Place(BaseModel):
    """Where it is."""

    city: str = Field(description="The city.")
    kind: Literal["place"] = "place"


class Node(BaseModel):
    name: str
    children: list["Node"] = []


class Order(BaseModel):
    place: Place
    stops: list[Place] = []
    unit: Unit | None = None
    amount: int | str = 1
    root: Node | None = None


SHOWN = """\
# Tools

## functions

namespace functions {

// Takes an order.
type order = (_: {
// Where it is.
place:     // Where it is.
{
    // The city.
    city: string,
    kind?: "place", // default: place
    },
stops?:     // Where it is.
{
    // The city.
    city: string,
    kind?: "place", // default: place
    }[], // default: []
unit?: "c" | "f" | null, // default: null
// default: 1
amount?:
 | number
 | string
,
root?: {
    name: string,
    children?: any[], // default: []
    } | null, // default: null
}) => any;

} // namespace functions"""


def test_a_function_of_classes_is_shown_with_their_fields() -> None:
    """Titles, which are the names again, are left out here, to see the rest."""
    schema = json.loads(json.dumps(Order.model_json_schema()), object_hook=untitled)
    tool = {"type": "function", "function": {"name": "order", "description": "Takes an order.", "parameters": schema}}
    shown = render_functions(Conversation(({"role": "user", "content": "?"},), (tool,)).functions())
    assert shown == SHOWN


def untitled(schema: dict) -> dict:
    return {name: value for name, value in schema.items() if name != "title" or not isinstance(value, str)}


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, "string"),
        ({"$ref": "#/nowhere"}, "any"),
        ({"$ref": "https://example.com/schema"}, "any"),
        ({"$ref": "#"}, "any"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "any"),
        ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "number"}}}, "number"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"const": "a"}, '"a"'),
        ({"enum": ["a", 1]}, "any"),
        ({"anyOf": [{"type": "null"}]}, "any"),
        ({"type": "string", "anyOf": [{"format": "date"}, {"format": "time"}]}, "string"),
        (
            {"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "{\na?: any,\n}",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {}},
                "allOf": [{"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}],
            },
            "{\na?: any,\n}",
        ),
        (
            {
                "type": "object",
                "properties": {"k": {}},
                "anyOf": [{"properties": {"a": {"type": "string"}}}, {"type": "object", "properties": {"b": {}}}],
            },
            "\n | {\n   a?: string,\n   k?: any,\n   }\n | {\n   b?: any,\n   k?: any,\n   }",
        ),
        (
            {"type": "array", "anyOf": [{"items": {"type": "string"}}, {"items": {"type": "number"}}]},
            "\n | string[]\n | number[]",
        ),
        ({"$ref": "#/x/1/items", "x": [7, {"items": {"type": "string"}}]}, "string"),
        ({"$ref": "#/x/2", "x": [7]}, "any"),
        ({"$ref": "#/definitions/Box%3Ca~1b%3E", "definitions": {"Box<a/b>": {"type": "string"}}}, "string"),
        ({"oneOf": [{"type": "string"}], "anyOf": [{"type": "string"}, {"type": "number"}]}, "\n | string"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "\n | string\n | number"),
        ({"$defs": 7, "anyOf": 7, "allOf": [7], "properties": 7, "items": 7, "oneOf": 7}, "any"),
    ],
)
def test_what_a_schema_becomes(schema: dict, shown: str) -> None:
    assert type_of(simplified(schema, Copies()), "") == shown


def test_parts_of_one_object_are_joined() -> None:
    parts = [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {}}}]
    whole = simplified({"type": "object", "allOf": parts, "properties": {"c": {}}, "required": ["c"]}, Copies())
    assert (set(whole["properties"]), set(whole["required"])) == ({"a", "b", "c"}, {"a", "c"})


def test_a_class_may_be_met_again_beside_itself() -> None:
    """An employee is a person, and has a manager, who is one."""
    person = {"type": "object", "properties": {"name": {"type": "string"}}}
    employee = {"properties": {"manager": {"$ref": "#/$defs/Person"}, "again": {"$ref": "#"}}}
    schema = {"allOf": [{"$ref": "#/$defs/Person"}, employee], "$defs": {"Person": person}}
    properties = simplified(schema, Copies())["properties"]
    assert properties["name"] == {"type": "string"}
    assert properties["manager"] == person
    assert properties["again"]["properties"]["again"] == {}


def test_references_do_not_make_much_of_little() -> None:
    """Each of 30 schemas refers to the next one twice."""
    names = [f"s{at}" for at in range(30)]
    defs = {
        name: {"type": "object", "properties": {each: {"$ref": f"#/$defs/{after}"} for each in "ab"}}
        for name, after in pairwise(names)
    }
    schema = {"$ref": "#/$defs/s0", "$defs": defs}
    assert len(json.dumps(simplified(schema, Copies()))) < 2 * MAX_COPIED


def test_neither_do_long_texts_and_lists_that_are_referred_to_often() -> None:
    """In all functions together."""
    defs = {"a": {"enum": [*range(3000)]}, "b": {"description": "b" * 9000}}
    properties = {f"p{at}": {"$ref": f"#/$defs/{'ab'[at % 2]}"} for at in range(1000)}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": properties, "$defs": defs}}}
    shown = Conversation(({"role": "user", "content": "?"},), (tool,) * 20).functions()
    assert len(json.dumps(shown)) < 3 * MAX_COPIED + 20 * len(json.dumps(properties))


def test_a_large_class_that_may_be_absent_is_shown_whole() -> None:
    properties = {f"p{at}": {"type": "string"} for at in range(3000)}
    schema = {"properties": {"a": {"anyOf": [{"allOf": [{"properties": properties}]}, {"type": "null"}]}}}
    assert simplified(schema, Copies())["properties"]["a"]["properties"] == properties


def test_nothing_of_a_schema_is_changed() -> None:
    schema = Order.model_json_schema()
    before = json.dumps(schema)
    simplified(schema, Copies())
    assert json.dumps(schema) == before
