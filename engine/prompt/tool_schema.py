"""JSON schemas of functions in the few words that prompts have for them.

Neither the renderer nor the published template knows `$ref`, `anyOf` or `allOf`: a parameter of such a schema would be
shown as `any`, and its fields not at all. What programs make of classes is full of them.
"""

import json
from collections.abc import Mapping
from typing import Any

MAX_COPIED = 200_000
"""Characters that references of a prompt's schemas may copy: they can make much of little. Others are any type."""
MEANT = frozenset({"type", "properties", "enum", "const", "oneOf"})
"""Keywords that say what a value is. Beside them `anyOf` only restricts it."""
APART = frozenset({"$ref", "$defs", "definitions", "allOf", "anyOf"})
"""Keywords that prompts have no words for."""
TYPES_OF = {str: "string", bool: "boolean", int: "number", float: "number"}

Schema = Mapping[str, Any]


class Copies:
    """What the references of a prompt's schemas may still copy."""

    def __init__(self, left: int = MAX_COPIED) -> None:
        self._left = left

    def take(self, schema: Schema) -> bool:
        """Whether this one may be copied once more."""
        self._left -= len(json.dumps(schema)) if self._left > 0 else 0
        return self._left > 0


def simplified(schema: Schema, copies: Copies) -> dict[str, Any]:
    """The same with what its references mean in their places, and with types where they are plain.

    >>> simplified({"properties": {"at": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "string"}}}, Copies())
    {'properties': {'at': {'type': 'string'}}, 'type': 'object'}
    >>> simplified({"anyOf": [{"enum": ["c", "f"]}, {"type": "null"}], "default": None}, Copies())
    {'enum': ['c', 'f'], 'default': None, 'nullable': True, 'type': 'string'}
    """
    return Simplifier(schema, copies).schema(schema, ())


class Simplifier:
    """Of one schema, the `root` of all references."""

    def __init__(self, root: Schema, copies: Copies) -> None:
        self._root = root
        self._copies = copies

    def schema(self, schema: Any, within: tuple[str, ...]) -> dict[str, Any]:
        """`within` are the references that led here: one that is among them has no end, and is any type."""
        plain, within = self._resolved(schema, within)
        properties = plain.get("properties")
        if isinstance(properties, Mapping):
            plain["properties"] = {name: self.schema(each, within) for name, each in properties.items()}
        if isinstance(plain.get("items"), Mapping):
            plain["items"] = self.schema(plain["items"], within)
        if isinstance(plain.get("oneOf"), list):
            plain["oneOf"] = [self.schema(each, within) for each in plain["oneOf"]]
        if "const" in plain:
            plain.setdefault("enum", [plain.pop("const")])
        if "type" not in plain and "oneOf" not in plain and (kind := _type_of(plain)) is not None:
            plain["type"] = kind
        return plain

    def _resolved(self, schema: Any, within: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The schema as one, without reference and `allOf`, and of `anyOf` what is more than a restriction; and the
        references that led to it."""
        if not isinstance(schema, Mapping):
            return {}, within
        plain = {name: value for name, value in schema.items() if name not in APART}
        parts: list[Any] = [*_schemas(schema.get("allOf"))]
        if isinstance(reference := schema.get("$ref"), str) and reference not in within:
            within = (*within, reference)
            if self._copies.take(referred := self._referred(reference)):
                parts.append(referred)
        for part in parts:
            resolved, within = self._resolved(part, within)
            plain = _merged(resolved, plain)
        variants = _schemas(schema.get("anyOf"))
        if variants and MEANT.isdisjoint(plain):
            types = [each for each in variants if each.get("type") != "null"]
            if len(types) == 1:
                resolved, within = self._resolved(types[0], within)
                plain = _merged(resolved, plain)
            elif types:
                plain["oneOf"] = types
            if len(types) < len(variants):
                plain["nullable"] = True
        return plain, within

    def _referred(self, reference: str) -> Schema:
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
