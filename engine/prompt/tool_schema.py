"""JSON schemas of functions, simplified to the keywords that prompts can show.

Neither the renderer nor the published template knows `$ref`, `anyOf` or `allOf`: a parameter of such a schema would be
shown as `any`, and its fields not at all. Schemas that programs generate from classes are full of them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

MAX_COPIED = 200_000
"""Most characters that the references in a prompt's schemas may copy: a few references can expand to very much. Beyond
it, they mean any type."""
MEANT = frozenset({"properties", "items", "enum", "const", "oneOf"})
"""Keywords that say more about a value than its type. `anyOf` variants without any of them only restrict it."""
APART = frozenset({"$ref", "$defs", "definitions", "allOf", "anyOf"})
"""Keywords that prompts cannot show."""
TYPES_OF = {str: "string", bool: "boolean", int: "number", float: "number"}

Schema = Mapping[str, Any]


class Copies:
    """How much the references in a prompt's schemas may still copy."""

    def __init__(self, left: int = MAX_COPIED) -> None:
        self._left = left

    def take(self, schema: Schema) -> bool:
        """Whether this schema may be copied once more; counts it."""
        self._left -= len(json.dumps(schema)) if self._left > 0 else 0
        return self._left > 0


def simplified(schema: Schema, copies: Copies) -> dict[str, Any]:
    """The same schema with its references expanded, and with types where they can be inferred.

    >>> simplified({"properties": {"at": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "string"}}}, Copies())
    {'properties': {'at': {'type': 'string'}}, 'type': 'object'}
    >>> simplified({"anyOf": [{"enum": ["c", "f"]}, {"type": "null"}], "default": None}, Copies())
    {'enum': ['c', 'f'], 'type': 'string', 'default': None, 'nullable': True}
    """
    return Simplifier(schema, copies).schema(schema, ())


class Simplifier:
    """Simplifies one schema, the `root` of all its references."""

    def __init__(self, root: Schema, copies: Copies) -> None:
        self._root = root
        self._copies = copies

    def schema(self, schema: Any, within: tuple[str, ...]) -> dict[str, Any]:
        """A simplified part of the schema. `within` are the references that led here: one among them would recurse
        without end, and means any type."""
        if not isinstance(schema, Mapping):
            return {}
        parts = [self.schema(part, within) for part in _schemas(schema.get("allOf"))]
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in within:
            referred = self._referred(reference)
            if self._copies.take(referred):
                parts.append(self.schema(referred, (*within, reference)))
        plain = _merged([*parts, self._own(schema, within)])
        variants = _schemas(schema.get("anyOf"))
        types = [self.schema(each, within) for each in variants if each.get("type") != "null"]
        if any(not MEANT.isdisjoint(each) or ("type" in each and "type" not in plain) for each in types):
            whole = [_merged([each, plain]) for each in types]
            if len(whole) == 1:
                plain = whole[0]
            elif "oneOf" not in plain:
                told: dict[str, Any] = {name: plain[name] for name in ("description", "default") if name in plain}
                plain = {"oneOf": [_merged([each], without=told) for each in whole], **told}
        if len(types) < len(variants):
            plain.setdefault("nullable", True)
        return plain

    def _own(self, schema: Schema, within: tuple[str, ...]) -> dict[str, Any]:
        """The schema's own keywords, with its parts simplified."""
        plain = {name: value for name, value in schema.items() if name not in APART}
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

    def _referred(self, reference: str) -> Schema:
        """The schema that a reference into the root names; any type if there is none."""
        at: Any = self._root
        for step in unquote(reference).removeprefix("#").strip("/").split("/"):
            if isinstance(at, list):
                at = at[int(step)] if step.isdecimal() and int(step) < len(at) else None
            elif isinstance(at, Mapping) and step:
                at = at.get(step.replace("~1", "/").replace("~0", "~"))
        return at if isinstance(at, Mapping) else {}


def _merged(parts: Sequence[Schema], without: Collection[str] = ()) -> dict[str, Any]:
    """Simplified schemas merged into one, with the properties of all; later ones take precedence."""
    whole: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    required: dict[Any, None] = {}
    for part in parts:
        whole.update(part)
        if isinstance(own := part.get("properties"), Mapping):
            properties.update(own)
        if isinstance(names := part.get("required"), list):
            required.update(dict.fromkeys(name for name in names if isinstance(name, str)))
    if properties:
        whole["properties"] = properties
    if required:
        whole["required"] = list(required)
    return {name: value for name, value in whole.items() if name not in without}


def _type_of(schema: Mapping[str, Any]) -> str | None:
    """The type that a schema has without naming it; None if it cannot be inferred."""
    if "properties" in schema:
        return "object"
    values = schema.get("enum")
    kinds = {TYPES_OF.get(type(value)) for value in values} if isinstance(values, list) else set()
    return kinds.pop() if len(kinds) == 1 else None


def _schemas(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
