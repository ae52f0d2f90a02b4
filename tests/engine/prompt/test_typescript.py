"""The expected texts are what openai-harmony 0.0.8 renders for the same tools."""

import pytest

from engine.prompt.typescript import render_functions, type_of

WEATHER = {
    "type": "object",
    "properties": {
        "zeta": {"type": "string", "description": "The city", "title": "City name"},
        "alpha": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "n": {"type": "integer", "default": 3, "description": "count"},
        "s": {"type": "string", "default": 'héllo "x"'},
        "tags": {"type": "array", "items": {"type": "string"}},
        "any": {"type": "array"},
        "nul": {"type": "string", "nullable": True},
        "nul2": {"type": ["string", "null"], "nullable": True},
        "multi": {"type": ["integer", "null"]},
        "ex": {"type": "string", "examples": ["a", "b", 3]},
        "obj": {
            "type": "object",
            "description": "inner",
            "properties": {
                "x": {"type": "number", "description": "ex"},
                "y": {"type": "object", "properties": {}},
            },
            "required": ["x"],
        },
        "one": {
            "oneOf": [
                {"type": "string", "description": "d1", "default": "q"},
                {"type": "number", "nullable": True, "description": "d2", "default": 1.5},
            ],
            "description": "both",
            "default": "z",
        },
        "one2": {
            "oneOf": [
                {"type": "string", "enum": ["a"], "description": "same", "default": "a"},
                {"type": "object", "properties": {"k": {"type": "string"}}},
            ],
            "description": "same",
            "default": {"a": [1, 2]},
        },
        "ao": {
            "type": "array",
            "items": {"type": "object", "properties": {"k": {"type": "string", "description": "kk"}}},
        },
        "anyof": {"anyOf": [{"type": "string"}]},
        "em": {"type": "string", "enum": [1, 2]},
        "d2": {"type": "object", "default": {"b": 1, "a": [1, 2.0, None, True]}},
    },
    "required": ["zeta"],
}

EXPECTED = """\
# Tools

## functions

namespace functions {

// Gets the weather.
// Second line.
type get_weather = (_: {
// City name
//
// The city
zeta: string,
alpha?: "c" | "f", // default: c
// count
n?: number, // default: 3
s?: string, // default: "héllo "x""
tags?: string[],
any?: Array<any>,
nul?: string | null,
nul2?: string | null,
multi?: number | null,
// Examples:
// - "a"
// - "b"
ex?: string,
// inner
obj?:     // inner
{
    // ex
    x: number,
    y?: {
        },
    },
// both
// default: "z"
one?:
 | string // default: "q"
 | number | null // d2 default: 1.5
,
// default: {"a":[1,2]}
one2?:
 | "a" // default: a
 | {
   k?: string,
   }
,
ao?: {
    // kk
    k?: string,
    }[],
anyof?: any,
em?: string,
d2?: {
    }, // default: {"b":1,"a":[1,2.0,null,true]}
}) => any;

type none = () => any;

// E
type emp = (_: {
}) => any;

// T
type top = (_: \n | {
   a?: string,
   }
 | string | null // dd default: "v"
 | "w" // default: "w") => any;

} // namespace functions"""


def tool(name, description, parameters):
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def test_tools():
    top = {
        "oneOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}},
            {"type": "string", "nullable": True, "description": "dd", "default": "v"},
            {"type": "string", "enum": ["w"], "default": "w"},
        ]
    }
    tools = [
        tool("get_weather", "Gets the weather.\nSecond line.\n", WEATHER),
        {"function": {"name": "none"}},
        tool("emp", "E", {"type": "object", "properties": {}}),
        tool("top", "T", top),
    ]
    assert render_functions(tools) == EXPECTED


@pytest.mark.parametrize(
    "schema",
    [
        True,
        None,
        3,
        {},
        {"type": "null"},
        {"type": 5},
        {"type": []},
        {"oneOf": 3},
        {"type": {"a": 1}},
        {"enum": "x"},
    ],
)
def test_odd_schemas_are_any(schema):
    assert type_of(schema, "") == "any"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": [], "required": 3, "description": 4},
        {"type": "object", "properties": {"a": True}, "required": [3]},
        {"type": "object", "properties": {"a": {"oneOf": []}}},
        {
            "type": "object",
            "properties": {"a": {"oneOf": [None, {"default": "x"}], "title": 3, "examples": "no"}},
        },
        {"type": "array", "items": None},
        {"type": "string", "enum": {"a": 1}},
    ],
)
def test_odd_schemas_render(schema):
    assert isinstance(type_of(schema, ""), str)
