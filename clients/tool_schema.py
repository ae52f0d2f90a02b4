"""Describes a Python function's parameters for the model."""

import inspect
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null", dict: "object"}


def definition(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """A tool in OpenAI's shape: the description from the function's docstring, the parameters from its signature.

    `Annotated[str, "the city's name"]` describes a parameter. Raises TypeError for a type that JSON does not have, and
    for a parameter that cannot be given by name.

    >>> def add(a: int, b: int = 1) -> int:
    ...     "Adds two numbers."
    >>> tool = definition("add", add)
    >>> tool["function"]["description"], tool["function"]["parameters"]["required"]
    ('Adds two numbers.', ['a'])
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{name}: {parameter} cannot be given by name")
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": inspect.getdoc(function) or "",
            "parameters": {
                "type": "object",
                "properties": {one.name: schema(hints.get(one.name, Any)) for one in parameters},
                "required": [one.name for one in parameters if one.default is one.empty],
                "additionalProperties": False,
            },
        },
    }


def schema(annotation: Any) -> dict[str, Any]:
    """The JSON schema of a type. Raises TypeError for a type that JSON does not have.

    >>> schema(list[int]), schema(Literal["on", "off"]), schema(str | None)
    ({'type': 'array', 'items': {'type': 'integer'}}, {'enum': ['on', 'off']}, {'type': ['string', 'null']})
    """
    if annotation is Any:
        return {}
    if annotation in SIMPLE:
        return {"type": SIMPLE[annotation]}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        described = [extra for extra in arguments[1:] if isinstance(extra, str)]
        return {**schema(arguments[0]), **({"description": described[0]} if described else {})}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return _either([schema(argument) for argument in arguments])
    if annotation is list or origin is list:
        return {"type": "array", **({"items": schema(arguments[0])} if arguments else {})}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": schema(arguments[1])}
    raise TypeError(f"{annotation} has no JSON schema")


def _either(options: list[dict[str, Any]]) -> dict[str, Any]:
    if all(set(option) == {"type"} for option in options):
        return {"type": [option["type"] for option in options]}
    return {"anyOf": options}
