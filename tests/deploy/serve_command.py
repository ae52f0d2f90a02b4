"""Has the program itself parse a `carousel serve` command line from a file."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import typer

from server.cli import app


def serve_settings(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings with which the server would start; nothing is started. Raises click's UsageError if it refuses."""
    name, *arguments = command
    assert name == "serve"
    program = typer.main.get_command(app)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in environment.items():
            patch.setenv(variable, value)
        with program.make_context("carousel", [name], resilient_parsing=True) as parent:
            return program.commands[name].make_context(name, arguments, parent=parent).params
