"""JSON schemas of functions in the few words that prompts have for them.

Neither the renderer nor the published template knows `$ref`, `anyOf` or `allOf`: a parameter of such a schema would be
shown as `any`, and its fields not at all. What programs make of classes is full of them.
"""

from collections.abc import Mapping
from typing import Any

MAX_SCHEMAS = 5_000
"""Within one: references can make much of little. What is beyond that is left out."""
TYPES_OF = {str: "string", bool: "boolean", int: "number", float: "number"}


def simplified(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what its references mean in their places, and with types where they are plain.

    >>> simplified({"properties": {"at": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "string"}}})
    {'properties': {'at': {'type': 'string'}}, 'type': 'object'}
    >>> simplified({"anyOf": [{"enum": ["c", "f"]}, {"type": "null"}], "default": None})
    {'enum': ['c', 'f'], 'type': 'string', 'default': None, 'nullable': True}
    """
    return Simplifier(schema).schema(schema, ())


class Simplifier:
    """Of one schema, the `root` of all references."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = MAX_SCHEMAS

    def schema(self, schema: Any, within: tuple[str, ...]) -> dict[str, Any]:
        """`within` are the references that led here: one that is among them has no end, and is any type."""
        self._left -= 1
        if not isinstance(schema, Mapping) or self._left < 0:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in within:
                return {}
            own = {name: value for name, value in schema.items() if name != "$ref"}
            return self.schema({**self._referred(reference), **own}, (*within, reference))
        rest = {name: value for name, value in schema.items() if name not in ("$defs", "definitions", "anyOf", "allOf")}
        for part in _schemas(schema.get("allOf")):
            rest = _merged(self.schema(part, within), rest)
        variants = _schemas(schema.get("anyOf"))
        types = [each for each in variants if each.get("type") != "null"]
        if len(types) == 1:
            rest = {**self.schema(types[0], within), **rest}
        elif types:
            rest["oneOf"] = types
        if len(types) < len(variants):
            rest["nullable"] = True
        return self._within(rest, within)

    def _within(self, schema: dict[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            schema["properties"] = {name: self.schema(each, within) for name, each in properties.items()}
        if isinstance(schema.get("items"), Mapping):
            schema["items"] = self.schema(schema["items"], within)
        if isinstance(schema.get("oneOf"), list):
            schema["oneOf"] = [self.schema(each, within) for each in schema["oneOf"]]
        if "const" in schema:
            schema.setdefault("enum", [schema.pop("const")])
        if "type" not in schema and "oneOf" not in schema and (kind := _type_of(schema)) is not None:
            schema["type"] = kind
        return schema

    def _referred(self, reference: str) -> Mapping[str, Any]:
        """What a reference into the root means; any type, if there is no such place."""
        at: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            at = at.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(at, Mapping) else None
        return at if isinstance(at, Mapping) else {}


def _merged(part: Mapping[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """One of `allOf` and what stands beside it: the properties of both."""
    both = {**part, **rest}
    for name in ("properties", "required"):
        one, other = part.get(name), rest.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            both[name] = {**one, **other}
        elif isinstance(one, list) and isinstance(other, list):
            both[name] = [*one, *other]
    return both


def _type_of(schema: Mapping[str, Any]) -> str | None:
    """The type that a schema does not name and has."""
    if "properties" in schema:
        return "object"
    values = schema.get("enum")
    kinds = {TYPES_OF.get(type(value)) for value in values} if isinstance(values, list) else set()
    return kinds.pop() if len(kinds) == 1 else None


def _schemas(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
