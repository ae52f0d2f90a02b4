"""docs/commands.md: the `--help` of each command."""

import json
import os
import subprocess
import sys

HEAD = """# Commands

The output of `carousel --help`, and of each command's `--help`. Flags of `serve` and `plan` are settings:
[operations.md](operations.md#settings) lists the other ways to give them.
"""
PROGRAM = """
import json
from typer.main import get_command
from typer.testing import CliRunner
from server.cli import app

def help_of(*command):
    return CliRunner().invoke(app, [*command, "--help"], prog_name="carousel").stdout

print(json.dumps({"": help_of()} | {name: help_of(name) for name in get_command(app).commands}))
"""


def commands_page() -> str:
    # A process of its own: Typer decides when it is imported whether to draw help for a terminal.
    plain = {**os.environ, "TYPER_USE_RICH": "0", "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=plain, capture_output=True, text=True, check=True)
    sections = []
    for name, text in json.loads(done.stdout).items():
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        sections.append((f"## carousel {name}\n\n" if name else "") + f"```text\n{lines}\n```\n")
    return "\n".join([HEAD, *sections])
