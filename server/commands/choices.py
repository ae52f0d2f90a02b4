"""Choices on the command line that go by several names."""

from collections.abc import Callable
from typing import Any, get_args

import typer


def choice(literal: Any, **same: str) -> Callable[[str], str]:
    """Reads one of a Literal's values; `same` has other names for some of them, which no help shows.

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
