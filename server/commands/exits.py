"""How a command ends: an error that the user can act on is one clear line and an exit status, without a traceback;
SIGTERM ends the command at any point."""

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
    """On an error, exits with status 1 after a line on stderr, which is a JSON object if the log is JSON."""
    try:
        yield
    except CarouselError as error:
        if log_format == "json":
            log(logging.ERROR, "failed", str(error))
        else:
            typer.echo(f"carousel: {error}", err=True)
        raise typer.Exit(1) from error


def heed_sigterm() -> None:
    """Handles SIGTERM in the first process of a container. Linux ignores signals there that have no handler: a download
    would go on until the container is killed."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
