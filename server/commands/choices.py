"""Choices on the command line that have several names."""

from collections.abc import Callable
from typing import Any, get_args

import typer


def choice(literal: Any, **same: str) -> Callable[[str], str]:
    """A parser for one of a Literal's values; `same` maps other names to values. Help texts do not show these.

    >>> from typing import Literal
    >>> choice(Literal["none", "fp8"], mxfp4="none")("mxfp4")
    'none'
    """
    choices = get_args(literal)

    def parse(text: str) -> str:
        value = same.get(text, text)
        if value not in choices:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(choices)}")
        return value

    return parse
