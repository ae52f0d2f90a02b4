"""Errors a user can do something about: one clear line and an exit status, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from engine.errors import CarouselError


@contextmanager
def clear_exit() -> Iterator[None]:
    """Ends the program with status 1 and the error's line on stderr."""
    try:
        yield
    except CarouselError as error:
        typer.echo(f"carousel: {error}", err=True)
        raise typer.Exit(1) from error
