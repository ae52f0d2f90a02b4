"""Tools as the model was taught to read them: a namespace of TypeScript function types.

The layout, comments and indentation are those of OpenAI's `openai-harmony` renderer, character for character.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

TYPES = {"number": "number", "integer": "number", "boolean": "boolean"}


def render_functions(tools: Sequence[Schema]) -> str:
    """The `# Tools` section for tools in the shape of OpenAI's chat API (`function.name`, `.description`,
    `.parameters` as a JSON schema).

    >>> print(render_functions([{"function": {"name": "now", "description": "The time."}}]))
    # Tools
    <BLANKLINE>
    ## functions
    <BLANKLINE>
    namespace functions {
    <BLANKLINE>
    // The time.
    type now = () => any;
    <BLANKLINE>
    } // namespace functions
    """
    lines = ["# Tools", "", "## functions", "", "namespace functions {", ""]
    for tool in tools:
        function = tool["function"]
        lines += [f"// {line}" for line in _lines(function.get("description", ""))]
        parameters = function.get("parameters")
        argument = "" if parameters is None else f"_: {type_of(parameters, '')}"
        lines += [f"type {function['name']} = ({argument}) => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def type_of(schema: Any, indent: str) -> str:
    """The TypeScript type of a JSON schema; `any` if it has none here."""
    schema = _mapping(schema)
    if isinstance(variants := schema.get("oneOf"), list):
        return "".join(f"\n{_variant(_mapping(each), indent, quote_enum=True)}" for each in variants)
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(TYPES.get(each, each) for each in kind if isinstance(each, str)) or "any"
    match kind:
        case "object":
            return _object(schema, indent)
        case "string":
            return " | ".join(f'"{value}"' for value in _enum(schema) if isinstance(value, str)) or "string"
        case "array":
            return f"{type_of(schema['items'], indent)}[]" if "items" in schema else "Array<any>"
        case _:
            return TYPES.get(str(kind), "any")


def _object(schema: Schema, indent: str) -> str:
    required = schema.get("required")
    names = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    lines = [*_comments(indent, schema.get("description")), "{"]
    for name, value in _mapping(schema.get("properties")).items():
        lines += _property(name if name in names else f"{name}?", _mapping(value), indent)
    return "\n".join([*lines, f"{indent}}}"])


def _property(name: str, schema: Schema, indent: str) -> Iterator[str]:
    variants = schema.get("oneOf")
    if isinstance(title := schema.get("title"), str):
        yield from (f"{indent}// {title}", f"{indent}//")
    if not isinstance(variants, list):
        yield from _comments(indent, schema.get("description"))
    if isinstance(examples := schema.get("examples"), list) and examples:
        yield f"{indent}// Examples:"
        yield from (f'{indent}// - "{example}"' for example in examples if isinstance(example, str))
    if isinstance(variants, list):
        yield from _union(name, schema, variants, indent)
        return
    comment = f" // {_default(schema)}" if "default" in schema else ""
    yield f"{indent}{name}: {_nullable(schema, type_of(schema, indent + '    '))},{comment}"


def _union(name: str, schema: Schema, variants: list[Any], indent: str) -> Iterator[str]:
    """A property of several types. Its description is written above it, unless the first type has the same one."""
    description = schema.get("description")
    schemas = [_mapping(variant) for variant in variants]
    above = bool(schemas) and schemas[0].get("description") != description
    if above:
        yield from _comments(indent, description)
    if "default" in schema:
        yield f"{indent}// {_default(schema)}"
    yield f"{indent}{name}:"
    for number, variant in enumerate(schemas):
        said = (above and number == 0) or variant.get("description") == description
        yield _variant(variant, indent, described=not said)
    yield f"{indent},"


def _variant(schema: Schema, indent: str, *, described: bool = True, quote_enum: bool = False) -> str:
    comments = []
    if described and isinstance(description := schema.get("description"), str):
        comments.append(description)
    if "default" in schema:
        comments.append(_default(schema, quote_enum=quote_enum))
    kind = _nullable(schema, type_of(schema, f"{indent}   "))
    return f"{indent} | {kind}" + (f" // {' '.join(comments)}" if comments else "")


def _nullable(schema: Schema, kind: str) -> str:
    return f"{kind} | null" if schema.get("nullable") is True and "null" not in kind else kind


def _default(schema: Schema, *, quote_enum: bool = False) -> str:
    default = schema["default"]
    if not isinstance(default, str) or (quote_enum and _enum(schema)):
        return f"default: {json.dumps(default, ensure_ascii=False, separators=(',', ':'))}"
    return f"default: {default}" if _enum(schema) else f'default: "{default}"'


def _comments(indent: str, description: Any) -> Iterator[str]:
    if isinstance(description, str):
        yield f"{indent}// {description}"


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").replace("\r\n", "\n").split("\n") if text else []


def _enum(schema: Schema) -> list[Any]:
    values = schema.get("enum")
    return values if isinstance(values, list) else []


def _mapping(value: Any) -> Schema:
    return value if isinstance(value, Mapping) else {}
