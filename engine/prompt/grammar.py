"""Grammars for answers, as Lark text in llguidance's dialect: `SamplingParams.grammar`.

A *body* is the right side of a Lark rule: what a completion, a final message or a call's arguments must be. A grammar
puts bodies in their places. In a chat, the grammar is a turn in the harmony format, from right after
`<|start|>assistant`: the markup is spelled out, the reasoning is free, and no text in it can be markup, because a
pattern never matches special tokens.

Text from outside goes in as JSON (strings, schemas), as a pattern whose slashes are escaped, or as a nested grammar
with its own names. Errors in it show when the grammar is compiled.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.prompt.patterns import without_unknown_patterns

WHITESPACE = r"[ \n]{1,16}"
"""Allowed wherever JSON may have blanks: enough for a line's indentation, but bounded."""

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}

TURN = """\
thought: <|channel|> "analysis" <|message|> TEXT <|end|> <|start|> "assistant"
preamble: <|channel|> "commentary" <|message|> TEXT <|end|> <|start|> "assistant"
type: " "? <|constrain|> "json" | " json"
TEXT: /(?s:.*)/
"""


def json_body(schema: Mapping[str, Any], *, strict: bool = True) -> str:
    """JSON that follows a schema. Unless `strict`, what llguidance does not know in a schema is ignored.

    That takes some milliseconds for each pattern.
    """
    schema = schema if strict else without_unknown_patterns(schema)
    options = {"whitespace_pattern": WHITESPACE, "lenient": not strict}
    return f"%json {json.dumps({**schema, 'x-guidance': options})}"


def regex_body(pattern: str) -> str:
    r"""Text that a pattern matches as a whole, in the syntax of Rust's `regex` crate.

    >>> print(regex_body("a/b\\/c"))
    /a\/b\/c/
    """
    escaped, characters = "", iter(pattern)
    for char in characters:
        if char == "\\":
            char += next(characters, "")
        escaped += {"/": r"\/", "\n": r"\n", "\\\n": r"\n"}.get(char, char)
    return f"/{escaped}/"


def choice_body(choices: Sequence[str]) -> str:
    """One of several texts.

    >>> print(choice_body(["yes", 'a "no"']))
    "yes" | "a \\"no\\""
    """
    return " | ".join(map(json.dumps, choices))


def lark_body(grammar: str) -> str:
    """Text that follows a separate Lark grammar, from its `start`."""
    return f"%lark {{\n{grammar}\n}}"


def completion_grammar(body: str) -> str:
    """A completion that is nothing but the body."""
    return f"start: {body}"


def turn_grammar(
    *,
    answer: str | None,
    functions: Mapping[str, str],
    must_call: bool = False,
    parallel: bool = True,
    reasoning: bool = True,
) -> str:
    """An assistant's turn: reasoning, then a final message or calls of functions.

    `answer` is the final message's body, None for any text. `functions` maps each function that may be called to its
    arguments' body; their names consist of letters, digits, `_` and `-`. With `must_call` there is no final message.
    Without `parallel` there is at most one call. Without `reasoning` nothing precedes them but preambles to calls; if
    the answer has a body, not even preambles may, because clients would take them for the answer.

    A model that must answer, or must call, thinks at most once: one that wants neither would think for ever.
    """
    thought = "thought? " if reasoning else ""
    is_free = functions and not must_call and answer is None
    before = f"({'thought | ' if reasoning else ''}preamble)* " if is_free else thought
    endings = [] if must_call else ["answer"]
    rules = [f'answer: <|channel|> "final" type? <|message|> body\nbody: {answer or "TEXT"}\n'] if not must_call else []
    if functions:
        more = f'(call <|end|> <|start|> "assistant" {thought})* ' if parallel else ""
        endings.append(f"{more}call <|call|>")
        rules.append(f"call: {' | '.join(f'call_{number}' for number in range(len(functions)))}\n")
        rules += [_call(number, name, body) for number, (name, body) in enumerate(functions.items())]
    return f"start: {before}({' | '.join(endings)})\n{TURN}{''.join(rules)}"


def _call(number: int, name: str, body: str) -> str:
    """The recipient is in the role part or after the channel: models write both."""
    recipient = json.dumps(f" to=functions.{name}")
    return (
        f'call_{number}: ({recipient} <|channel|> "commentary" | <|channel|> "commentary" {recipient}) '
        f"type? <|message|> arguments_{number}\n"
        f"arguments_{number}: {body}\n"
    )
