"""Jinja's sandbox for foreign templates, with a time limit on their loops and a bound on their values."""

import json
import re
import time
from collections.abc import Callable
from typing import Any, NoReturn, cast

import jinja2
import jinja2.exceptions
import jinja2.ext
import jinja2.filters
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from engine.prompt.mask import STAND_INS
from engine.prompt.tokenizer import MAX_CHARACTERS

NOT_ASCII = re.compile(f"[^\x00-\x7f{chr(STAND_INS.start)}-{chr(STAND_INS.stop)}]")
"""Characters that JSON may escape; never one that may be a stand-in for a hidden one."""

MAX_MADE = 1_000_000
"""Most characters or items of a repeated or padded value: jinja bounds `range`, but not `"a" * 10000000000`."""

WIDTH = re.compile(r"\d{7}|\*")
"""A width in a format: one that may exceed `MAX_MADE`, or that a value sets."""

DEADLINE = "the time it ends"
"""The context variable that holds a template's deadline: a name that no template can spell."""


class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which loops and recursions are limited in time, and doubling and padding in size."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(value) if isinstance(value, str | list | tuple) else value for value in (left, right)]
        holds = sizes != [left, right]
        if (
            operator == "**"
            or (holds and operator == "*" and sizes[0] * sizes[1] > MAX_MADE)
            or (holds and operator == "+" and isinstance(left, type(right)) and sum(sizes) > MAX_CHARACTERS)
            or (operator == "%" and isinstance(left, str) and WIDTH.search(left))
        ):
            raise _too_large(operator)
        return super().call_binop(context, operator, left, right)

    def call(self, context: jinja2.runtime.Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, int) and value > MAX_MADE for value in (*args, *kwargs.values())):
            raise _too_large("so large a number")
        return super().call(context, function, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None and WIDTH.search(value.__self__):
            raise _too_large("so wide a format")
        return wrapped

    def concatenate(self, *parts: Any) -> str:
        texts = list(map(str, parts))
        if sum(map(len, texts)) > MAX_CHARACTERS:
            raise _too_large("~")
        return "".join(texts)

    def check_time(self, context: jinja2.runtime.Context) -> None:
        if time.monotonic() > context[DEADLINE]:
            raise jinja2.exceptions.SecurityError("it takes too long")

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        """Puts a time check into every loop and macro, and replaces every `~` by `concatenate`."""
        template = super()._parse(source, name, filename)
        loops, macros = template.find_all(jinja2.nodes.For), template.find_all(jinja2.nodes.Macro)
        for body in [node.body for node in loops] + [node.body for node in macros]:
            body.insert(0, jinja2.nodes.ExprStmt(_call("check_time", [jinja2.nodes.ContextReference()])))
        _replace_concatenations(template)
        return cast(jinja2.nodes.Template, template.set_environment(self))


def _call(method: str, arguments: list[jinja2.nodes.Expr]) -> jinja2.nodes.Call:
    """A call of a method of the environment."""
    return jinja2.nodes.Call(jinja2.nodes.EnvironmentAttribute(method), arguments, [], None, None)


def _replace_concatenations(node: jinja2.nodes.Node) -> None:
    for name, value in node.iter_fields():
        setattr(node, name, list(map(_replaced, value)) if isinstance(value, list) else _replaced(value))


def _replaced(value: Any) -> Any:
    if isinstance(value, jinja2.nodes.Node):
        _replace_concatenations(value)
    return _call("concatenate", value.nodes) if isinstance(value, jinja2.nodes.Concat) else value


def _too_large(what: str) -> jinja2.exceptions.SecurityError:
    return jinja2.exceptions.SecurityError(f"{what} would make too large a value")


class _Generation(jinja2.ext.Extension):
    """`{% generation %} … {% endgeneration %}` marks text to train on: here it is just text."""

    tags = {"generation"}  # noqa: RUF012 (the base class declares it an instance variable)

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def sandbox() -> jinja2.Environment:
    """The sandbox with the settings that `transformers` gives templates."""
    environment = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, _Generation])
    environment.filters["tojson"] = _to_json
    for name in ("center", "format", "indent"):
        environment.filters[name] = _narrow(environment.filters[name])
    environment.globals["raise_exception"] = _raise_exception
    return environment


def _narrow(pad: Callable[..., str]) -> Callable[..., str]:
    """A padding filter that pads to at most `MAX_MADE` characters."""

    def narrow(text: Any, *args: Any, **kwargs: Any) -> str:
        numbers = [value for value in (*args, *kwargs.values()) if isinstance(value, int)]
        if max(numbers, default=0) > MAX_MADE or (pad is jinja2.filters.do_format and WIDTH.search(str(text))):
            raise _too_large("so wide a format")
        return pad(text, *args, **kwargs)

    return narrow


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """`json.dumps`, which must not escape the stand-ins of hidden characters."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
    return NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text) if ensure_ascii else text
