"""Patterns in JSON schemas. Grammars support most, but no lookaround and no backreferences."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MAX_LENGTH = 1000
"""Longest pattern that is checked, in characters: a check may take some milliseconds. Longer ones stay as they are."""
REMEMBERED = 4096

VALUES = frozenset({"const", "default", "enum", "examples"})
"""Keywords whose values are not schemas."""
NAMED_SCHEMAS = frozenset({"$defs", "definitions", "dependentSchemas", "properties"})
"""Keywords whose values map names of the author's choice to schemas."""


def count_patterns(schema: Any) -> int:
    """How many patterns a JSON schema has, counting every `pattern` key in it."""
    if isinstance(schema, list):
        return sum(map(count_patterns, schema))
    if not isinstance(schema, Mapping):
        return 0
    named = schema.get("patternProperties")
    own = isinstance(schema.get("pattern"), str) + (len(named) if isinstance(named, Mapping) else 0)
    return own + sum(map(count_patterns, schema.values()))


def without_unknown_patterns(schema: Any) -> Any:
    """A copy of a JSON schema without the patterns that llguidance refuses.

    When one of `patternProperties` is removed, so is `additionalProperties`, which might forbid what that one allowed.

    >>> without_unknown_patterns({"properties": {"pattern": {"type": "string", "pattern": "^(?!a)"}}})
    {'properties': {'pattern': {'type': 'string'}}}
    """
    if isinstance(schema, list):
        return [without_unknown_patterns(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    named = schema.get("patternProperties")
    unknown = {name for name in named if not is_known(name)} if isinstance(named, Mapping) else set()
    kept: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "pattern" and isinstance(value, str):
            if is_known(value):
                kept[keyword] = value
        elif keyword in VALUES:
            kept[keyword] = value
        elif keyword == "patternProperties" and isinstance(value, Mapping):
            kept[keyword] = {n: without_unknown_patterns(each) for n, each in value.items() if n not in unknown}
        elif keyword in NAMED_SCHEMAS and isinstance(value, Mapping):
            kept[keyword] = {name: without_unknown_patterns(each) for name, each in value.items()}
        elif keyword != "additionalProperties" or not unknown:
            kept[keyword] = without_unknown_patterns(value)
    return kept


@lru_cache(REMEMBERED)
def is_known(pattern: str) -> bool:
    """Whether llguidance accepts a pattern, or may: long ones are not checked."""
    from llguidance import LLMatcher

    if len(pattern) > MAX_LENGTH:
        return True
    schema = json.dumps({"type": "string", "pattern": pattern})
    return not LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
