"""Settings: each can be a flag, an environment variable or a key of a YAML file, in this order of precedence.

An option is declared once, as a parameter of a command (`server.cli`): the flag `--max-model-len` is
CAROUSEL_MAX_MODEL_LEN in the environment and `max-model-len:` in the file. Secrets have `hide_input=True` and are never
shown.
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
        """Parses the flags. Those of other servers are dropped, each with a log line, or refused."""
        with clear_exit():
            own, lines = without_foreign(args)
        rest = super().parse_args(ctx, own)
        with logging_as(ctx.params.get("log_format", "text"), sys.stderr):
            for line in lines:
                log(logging.INFO, "not_needed", line)
        return rest


def settings_commands(context: typer.Context) -> dict[str, SettingsCommand]:
    """The commands that take settings, by name."""
    assert context.parent is not None
    assert isinstance(context.parent.command, TyperGroup)
    commands = context.parent.command.commands
    return {name: command for name, command in commands.items() if isinstance(command, SettingsCommand)}


def key(parameter: Any) -> str:
    """The name of a parameter in the file."""
    return str(parameter.name).replace("_", "-")


def read_file(context: typer.Context, path: Path | None) -> Path | None:
    """Makes the settings in the file at `path` the defaults of the command.

    Raises BadParameter for an unreadable file, an unknown key, or a value that its option refuses.
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
    """Reads every value but null as text, for its option to parse: 0123 may be an API key, and on a model's name."""


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
    """A value as it would be on the command line. Raises ValueError.

    >>> as_text(8000, several=False), as_text(True, several=False), as_text("a", several=True)
    ('8000', 'True', ['a'])
    """
    values = value if several and isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in values):
        raise ValueError(f"{value!r} is not a single value")
    if None in values:
        raise ValueError("one of the values is empty")
    return [str(item) for item in values] if several else str(value)


def refusal(path: Path, problem: str) -> typer.BadParameter:
    return typer.BadParameter(f"{path}: {problem}", param_hint="--config")


ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", is_eager=True, callback=read_file, help="A YAML file of settings: see `carousel config`."),
]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting with its value. `source` is the flag, variable or file that set it, or "default"."""

    name: str
    value: Any
    source: str
    secret: bool

    def __str__(self) -> str:
        if self.secret and self.value:
            return f"# {self.name}: not shown; from {self.source}"
        given = "inf" if self.value == inf else self.value  # As the option takes it, not as YAML writes it.
        value = yaml.safe_dump(given, default_flow_style=True, width=10_000).splitlines()[0]
        return f"{self.name + ': ' + value:<39} # {self.source}"


def settings_of(context: typer.Context) -> Iterator[Setting]:
    """Every setting of the command in `context`, after its parameters have been parsed."""
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
