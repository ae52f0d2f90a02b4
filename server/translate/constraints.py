"""The format of an answer: from a request's fields to the grammar that enforces it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import RequestError
from engine.prompt.grammar import (
    ANY_OBJECT,
    NO_ARGUMENTS,
    choice_body,
    completion_grammar,
    json_body,
    lark_body,
    regex_body,
    turn_grammar,
)
from engine.prompt.patterns import count_patterns
from engine.request import MAX_GRAMMAR_LENGTH
from server.schemas.chat import ChatRequest
from server.schemas.structured import ResponseFormat, StructuredOutputs
from server.schemas.tools import AllowedToolsChoice, FunctionDefinition, NamedToolChoice
from server.text import Text

MAX_PATTERNS = 256
"""The most regular expressions in the schemas of a request."""
MAX_MESSAGE = 500
"""The most characters of a message about a grammar."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """The grammar of an answer, and its bodies, each with the name of the request's field that it comes from."""

    grammar: str
    bodies: tuple[tuple[str, str], ...]

    async def checked(self, text: Text) -> str:
        """The grammar, after each of its bodies and then all of it were compiled. Raises RequestError, which names the
        field at fault."""
        if len(self.grammar) > MAX_GRAMMAR_LENGTH:
            field, _ = max(self.bodies, key=lambda body: len(body[1]))
            raise RequestError(f"{field}: makes a grammar of more than {MAX_GRAMMAR_LENGTH} characters", param=field)
        for field, body in self.bodies:
            await _check(text, completion_grammar(body), field)
        await _check(text, self.grammar, self.bodies[0][0] if self.bodies else "reasoning_effort")
        return self.grammar


async def _check(text: Text, grammar: str, field: str) -> None:
    try:
        await text.check_grammar(grammar)
    except RequestError as error:
        reason = " ".join(str(error).removeprefix("grammar: ").split())
        raise RequestError(f"{field}: {reason[:MAX_MESSAGE]}", param=field) from error


def check_schemas(field: str, schemas: Sequence[Mapping[str, Any]]) -> None:
    """Raises RequestError for schemas that together are too large or have too many patterns. This comes before any
    other work, because each pattern takes some milliseconds."""
    if sum(len(json.dumps(schema)) for schema in schemas) > MAX_GRAMMAR_LENGTH:
        raise RequestError(f"{field}: more than {MAX_GRAMMAR_LENGTH} characters of schemas", param=field)
    if sum(map(count_patterns, schemas)) > MAX_PATTERNS:
        raise RequestError(f"{field}: more than {MAX_PATTERNS} patterns", param=field)


def completion_constraint(wanted: StructuredOutputs | None) -> Constraint | None:
    if wanted is None:
        return None
    check_schemas("structured_outputs", [wanted.json_schema or {}])
    body = _structured_body(wanted)
    return Constraint(completion_grammar(body), (("structured_outputs", body),))


async def chat_constraint(request: ChatRequest) -> Constraint | None:
    """The constraint of a chat's answer; None if the request needs none. Works in a thread, since each pattern takes
    some milliseconds."""
    return await asyncio.to_thread(_turn_constraint, request) if _is_constrained(request) else None


def _is_constrained(request: ChatRequest) -> bool:
    wanted = request.response_format
    return (
        request.structured_outputs is not None
        or (wanted is not None and wanted.type != "text")
        or request.effort == "none"
        or request.must_call()
        or (bool(request.tools) and not request.offered() and any(said.tool_calls for said in request.messages))
        or isinstance(request.tool_choice, AllowedToolsChoice)
        or any(function.strict for function in request.offered())
    )


def _turn_constraint(request: ChatRequest) -> Constraint:
    functions, must_call = request.allowed(), request.must_call()
    check_schemas("tools", [function.parameters or {} for function in functions])
    if request.response_format is not None and (schema := request.response_format.schema_told) is not None:
        check_schemas("response_format", [schema.body])
    if request.structured_outputs is not None:
        check_schemas("structured_outputs", [request.structured_outputs.json_schema or {}])
    answer = None if must_call else _answer_body(request)
    bodies = [("tools", _arguments_body(function)) for function in functions]
    grammar = turn_grammar(
        answer=None if answer is None else answer[1],
        functions={function.name: body for function, (_, body) in zip(functions, bodies, strict=True)},
        must_call=must_call,
        parallel=request.parallel_tool_calls and not isinstance(request.tool_choice, NamedToolChoice),
        reasoning=request.effort != "none",
    )
    return Constraint(grammar, (*bodies, *([] if answer is None else [answer])))


def response_format_text(wanted: ResponseFormat | None) -> str | None:
    """The text that tells the model the schema, which the grammar enforces anyway."""
    if wanted is None or (schema := wanted.schema_told) is None:
        return None
    comment = f"// {schema.description}\n" if schema.description else ""
    body = json.dumps(schema.body, ensure_ascii=False, separators=(",", ":"))
    return f"# Response Formats\n\n## {schema.name}\n\n{comment}{body}"


def _answer_body(request: ChatRequest) -> tuple[str, str] | None:
    if request.structured_outputs is not None:
        return "structured_outputs", _structured_body(request.structured_outputs)
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return None
    if (schema := wanted.schema_told) is None:
        return "response_format", json_body(ANY_OBJECT)
    return "response_format", json_body(schema.body, strict=schema.strict)


def _arguments_body(function: FunctionDefinition) -> str:
    if function.parameters is None:
        return json_body(NO_ARGUMENTS)
    return json_body({**ANY_OBJECT, **function.parameters}, strict=function.strict)


def _structured_body(wanted: StructuredOutputs) -> str:
    if wanted.regex is not None:
        return regex_body(wanted.regex)
    if wanted.choice is not None:
        return choice_body(wanted.choice)
    if wanted.grammar is not None:
        return lark_body(wanted.grammar)
    return json_body(wanted.json_schema if wanted.json_schema is not None else ANY_OBJECT)
