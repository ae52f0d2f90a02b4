"""Patterns in JSON schemas, of which grammars know most: none looks around or refers back."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MAX_LENGTH = 1000
"""Characters of a pattern that is tried, which may take some milliseconds; a longer one is left as it is."""
REMEMBERED = 4096

VALUES = frozenset({"const", "default", "enum", "examples"})
"""Keywords under which stands no schema."""
NAMED_SCHEMAS = frozenset({"$defs", "definitions", "dependentSchemas", "properties"})
"""Keywords under which stand schemas by names of the author's choice."""


def count_patterns(schema: Any) -> int:
    """How many patterns a JSON schema has, wherever in it that word may stand."""
    if isinstance(schema, list):
        return sum(map(count_patterns, schema))
    if not isinstance(schema, Mapping):
        return 0
    named = schema.get("patternProperties")
    own = isinstance(schema.get("pattern"), str) + (len(named) if isinstance(named, Mapping) else 0)
    return own + sum(map(count_patterns, schema.values()))


def without_unknown_patterns(schema: Any) -> Any:
    """A copy of a JSON schema without the patterns that llguidance refuses.

    Where one of `patternProperties` goes, `additionalProperties` goes with it, which might forbid what that allows.

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
    """Whether llguidance takes a pattern, or might: it is not asked about a long one."""
    from llguidance import LLMatcher

    if len(pattern) > MAX_LENGTH:
        return True
    schema = json.dumps({"type": "string", "pattern": pattern})
    return not LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
