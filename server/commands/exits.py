"""How a command ends: an error that a user can do something about is one clear line and an exit status, no traceback;
SIGTERM ends it wherever it is."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from engine.errors import CarouselError
from server.logs import LogFormat, log


@contextmanager
def clear_exit(log_format: LogFormat = "text") -> Iterator[None]:
    """Ends the program with status 1 and the error's line on stderr; in a log of objects it is one."""
    try:
        yield
    except CarouselError as error:
        if log_format == "json":
            log(logging.ERROR, "failed", str(error))
        else:
            typer.echo(f"carousel: {error}", err=True)
        raise typer.Exit(1) from error


def heed_sigterm() -> None:
    """Linux spares the first process of a container the signals that it has no handler for: without this one, a
    download would go on until the container is killed."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
