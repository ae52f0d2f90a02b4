"""How a command ends: an error that a user can do something about is one clear line and an exit status, no traceback;
SIGTERM ends it wherever it is."""

import os
import signal
import sys
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


def heed_sigterm() -> None:
    """Linux spares the first process of a container the signals that it has no handler for: without this one, a
    download would go on until the container is killed."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
