"""Settings: each is a flag, an environment variable and a key of a YAML file; the first of them that is given counts.

An option is declared once, as a parameter of a command (`server.cli`): `--max-model-len` there is, in the environment,
CAROUSEL_MAX_MODEL_LEN, and `max-model-len:` in the file. One that is a secret has `hide_input=True` and is never shown.
"""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from typer.core import TyperCommand, TyperGroup

from server.commands.exits import clear_exit
from server.commands.foreign_flags import without_foreign
from server.logs import log, logging_as

PREFIX = "CAROUSEL_"


class SettingsCommand(TyperCommand):
    """A command whose parameters are settings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            parameter.envvar = PREFIX + str(parameter.name).upper()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Flags of other servers are not settings: they are left out, with a line each, or refused."""
        with clear_exit():
            own, lines = without_foreign(args)
        rest = super().parse_args(ctx, own)
        with logging_as(ctx.params.get("log_format", "text"), sys.stderr):
            for line in lines:
                log(logging.INFO, "not_needed", line)
        return rest


def settings_commands(context: typer.Context) -> dict[str, SettingsCommand]:
    """The program's commands that take settings, by their names."""
    assert context.parent is not None
    assert isinstance(context.parent.command, TyperGroup)
    commands = context.parent.command.commands
    return {name: command for name, command in commands.items() if isinstance(command, SettingsCommand)}


def key(parameter: Any) -> str:
    """A parameter's name in the file."""
    return str(parameter.name).replace("_", "-")


def read_file(context: typer.Context, path: Path | None) -> Path | None:
    """Takes the settings of the file at `path` as what holds if nothing else is given.

    Raises BadParameter for a file that cannot be read, a key that no command has, a value its option does not take.
    """
    if path is None:
        return None
    given = load(path)
    known = {key(parameter) for command in settings_commands(context).values() for parameter in command.params}
    known.remove("config")
    for name in given.keys() - known:
        similar = get_close_matches(name, known, n=1)
        hint = f"did you mean {similar[0]}?" if similar else f"known are {', '.join(sorted(known))}"
        raise refusal(path, f"unknown setting {name!r}: {hint}")
    defaults = {}
    for parameter in context.command.params:
        if (value := given.get(key(parameter))) is not None:
            try:
                text = as_text(value, several=parameter.multiple)
                parameter.process_value(context, text)
            except (typer.BadParameter, ValueError) as error:
                raise refusal(path, f"{key(parameter)}: {getattr(error, 'message', error)}") from error
            defaults[str(parameter.name)] = text
    context.default_map = defaults
    return path


class Texts(yaml.SafeLoader):
    """Leaves a value as it is written, and to its option what it means: 0123 may be a key, and on a model's name. Only
    null is none."""


Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag == "tag:yaml.org,2002:null"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path: Path) -> dict[str, Any]:
    try:
        content = Texts(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise refusal(path, error.strerror or str(error)) from error
    except (ValueError, yaml.YAMLError) as error:
        raise refusal(path, f"not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise refusal(path, "must be lines of `setting: value`")
    return {str(name): value for name, value in content.items()}


def as_text(value: Any, *, several: bool) -> str | list[str]:
    """A value as it would stand on the command line. Raises ValueError.

    >>> as_text(8000, several=False), as_text(True, several=False), as_text("a", several=True)
    ('8000', 'True', ['a'])
    """
    values = value if several and isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in values):
        raise ValueError(f"{value!r} is not a single value")
    if None in values:
        raise ValueError("one of its values is empty")
    return [str(item) for item in values] if several else str(value)


def refusal(path: Path, problem: str) -> typer.BadParameter:
    return typer.BadParameter(f"{path}: {problem}", param_hint="--config")


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", is_eager=True, callback=read_file, help="A YAML file of settings: `carousel config`."),
]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it stands. `source` is the flag, the variable or the file it is from, or "default"."""

    name: str
    value: Any
    source: str
    secret: bool

    def __str__(self) -> str:
        if self.secret and self.value:
            return f"# {self.name}: not shown; from {self.source}"
        given = "inf" if self.value == inf else self.value  # What the option takes, not YAML's word for it.
        value = yaml.safe_dump(given, default_flow_style=True, width=10_000).splitlines()[0]
        return f"{self.name + ': ' + value:<39} # {self.source}"


def settings_of(context: typer.Context) -> Iterator[Setting]:
    """Every setting of the command in `context`, whose parameters have been read."""
    for parameter in context.command.params:
        if key(parameter) == "config":
            continue
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        sources = {
            "COMMANDLINE": parameter.opts[0] if parameter.opts[0].startswith("-") else "argument",
            "ENVIRONMENT": str(parameter.envvar),
            "DEFAULT_MAP": str(context.params.get("config")),
        }
        where = "default" if source is None else sources.get(source.name, "default")
        yield Setting(key(parameter), context.params[name], where, getattr(parameter, "hide_input", False))
