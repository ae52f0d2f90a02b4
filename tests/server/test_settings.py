"""Flags, environment variables and the file are three ways to say the same, in this order of precedence."""

import re
from pathlib import Path
from typing import Annotated

import pytest
import typer
import yaml
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner, Result

from server.cli import app
from server.settings import ConfigFile, SettingsCommand, key, settings_of

PROGRAM = get_command(app)
assert isinstance(PROGRAM, TyperGroup)
COMMANDS = {name: command for name, command in PROGRAM.commands.items() if isinstance(command, SettingsCommand)}
SERVE = COMMANDS["serve"]
SAMPLES = {"<int>": "7", "<float>": "0.5", "<bool>": "true", "SIZE": "4096"}
SPECIAL = {"current-date": "2025-01-31"}


def carousel(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


def shown(*arguments: str, **environment: str) -> dict[str, tuple[object, str]]:
    """Each setting's value (of a secret "not shown") and source, as `carousel config` shows them."""
    result = carousel("config", *arguments, **environment)
    assert result.exit_code == 0, result.stderr
    values = yaml.safe_load(result.stdout)
    sources = dict(re.findall(r"^([\w-]+): .*# (.*)$", result.stdout, re.MULTILINE))
    hidden = re.findall(r"^# ([\w-]+): (not shown); from (.*)$", result.stdout, re.MULTILINE)
    return {name: (value, sources[name]) for name, value in values.items()} | {
        name: (value, source) for name, value, source in hidden
    }


def sample(parameter: object) -> str:
    """A value other than the default that `parameter` takes."""
    metavar = parameter.metavar or parameter.display_type(typer.Context(SERVE))
    if "|" in metavar:
        return next(choice for choice in metavar.strip("<>").split("|") if choice != parameter.default)
    if parameter.default is True:
        return "false"
    return SPECIAL.get(key(parameter), SAMPLES.get(metavar, "sample"))


SETTINGS = [parameter for parameter in SERVE.params if parameter.name != "config"]


@pytest.mark.parametrize("parameter", SETTINGS, ids=key)
def test_each_setting_three_ways(parameter: object, tmp_path: Path) -> None:
    """Every option of `serve` is read from the environment and the file by the names derived from its own."""
    name, text = key(parameter), sample(parameter)
    flag = f"--{name}"
    assert flag in parameter.opts or parameter.param_type_name == "argument"
    default, source = shown()[name]
    assert source == "default"
    file = tmp_path / "carousel.yaml"
    file.write_text(f"{name}: {text}")
    variable = f"CAROUSEL_{parameter.name.upper()}"
    value, source = shown("--config", str(file))[name]
    assert (value != default, source) == (True, str(file))
    assert shown(**{variable: text})[name] == (value, variable)
    if parameter.param_type_name == "argument":
        assert shown(text)[name] == (value, "argument")
    else:
        switch = parameter.secondary_opts[0] if parameter.default is True else flag
        assert shown(*([switch] if parameter.is_flag else [flag, text]))[name] == (value, flag)


def test_the_first_that_is_given_counts(tmp_path: Path) -> None:
    file = tmp_path / "carousel.yaml"
    file.write_text("port: 1\nmax-num-seqs: 1\nseed: 1\nrevision: null\n")
    given = shown("--port", "3", "--config", str(file), CAROUSEL_PORT="2", CAROUSEL_MAX_NUM_SEQS="2")
    assert given["port"] == (3, "--port")
    assert given["max-num-seqs"] == (2, "CAROUSEL_MAX_NUM_SEQS")
    assert given["seed"] == (1, str(file))
    assert given["revision"] == (None, "default")
    assert shown(CAROUSEL_CONFIG=str(file))["seed"] == (1, str(file))


def test_what_is_shown_is_a_file(tmp_path: Path) -> None:
    flags = ("org/name", "--kv-cache-memory-bytes", "4G", "--served-model-name", "a", "--served-model-name", "b c")
    file = tmp_path / "carousel.yaml"
    file.write_text(carousel("config", *flags).stdout)
    before, after = shown(*flags), shown("--config", str(file))
    assert {name: value for name, (value, _) in before.items()} == {name: value for name, (value, _) in after.items()}
    assert after["served-model-name"] == (["a", "b c"], str(file))
    assert after["kv-cache-memory-bytes"] == (4 * 2**30, str(file))


def test_one_file_for_all_commands(tmp_path: Path) -> None:
    """`plan` heeds its own settings and passes over those of `serve`."""
    file = tmp_path / "carousel.yaml"
    file.write_text("model: embedded\nport: 9000\nmax-num-seqs: 3\nmemory: 1G\n")
    result = carousel("plan", "--config", str(file))
    assert result.exit_code == 0, result.stderr
    assert "3 slots" in result.stdout
    assert shown("--config", str(file))["port"] == (9000, str(file))


def test_an_infinity_that_is_shown_is_read_back(tmp_path: Path) -> None:
    given = shown("--stall-timeout", "inf")
    file = tmp_path / "carousel.yaml"
    file.write_text(f"stall-timeout: {given['stall-timeout'][0]}\n")
    assert shown("--config", str(file))["stall-timeout"] == ("inf", str(file))


def test_what_a_file_says_is_taken_as_it_is_written(tmp_path: Path) -> None:
    """YAML would read some of it as other numbers, and as true and false."""
    file = tmp_path / "carousel.yaml"
    numbers = "revision: 0012345\nport: 8_001\nenforce-eager: yes\nmax-num-seqs:\n"
    file.write_text(f"served-model-name: [1.10, on]\n{numbers}")
    settings = shown("--config", str(file))
    values = {name: settings[name][0] for name in ("served-model-name", "revision", "port", "enforce-eager")}
    assert values == {
        "served-model-name": ["1.10", "on"], "revision": "0012345", "port": 8001, "enforce-eager": True
    }  # fmt: skip
    assert settings["max-num-seqs"] == shown()["max-num-seqs"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("dtype", "auto", "bfloat16"),
        ("dtype", "float", "float32"),
        ("kv-cache-dtype", "fp8_e4m3", "fp8"),
        ("quantization", "mxfp4", "none"),
        ("load-format", "safetensors", "auto"),
        ("max-model-len", "auto", None),
        ("max-model-len", "8_192", 8192),
        ("max-model-len", "32k", 32_000),
        ("max-model-len", "128K", 131_072),
        ("max-num-batched-tokens", "1M", 1_048_576),
    ],
)
def test_what_means_the_same_is_taken(name: str, text: str, value: object, tmp_path: Path) -> None:
    """Of vLLM's values, three ways."""
    file = tmp_path / "carousel.yaml"
    file.write_text(f"{name}: {text}")
    variable = f"CAROUSEL_{name.replace('-', '_').upper()}"
    assert shown(f"--{name}", text)[name] == (value, f"--{name}")
    assert shown(**{variable: text})[name] == (value, variable)
    assert shown("--config", str(file))[name] == (value, str(file))


def test_commands_agree_on_what_they_share() -> None:
    for command in COMMANDS.values():
        for parameter in command.params:
            for other in SERVE.params:
                if other.name == parameter.name:
                    assert (other.help, other.default, other.opts) == (
                        parameter.help, parameter.default, parameter.opts
                    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("prot: 1", "unknown setting 'prot': did you mean port?"),
        ("xyzzy: 1", "unknown setting 'xyzzy': known are allowed-host"),
        ("max_model_len: 1", "unknown setting 'max_model_len': did you mean max-model-len?"),
        ("config: other.yaml", "unknown setting 'config'"),
        ("port: many", "port: "),
        ("dtype: int3", "dtype: "),
        ("api-key:\n-", "api-key: one of the values is empty"),
        ("port: [1, 2]", "port: ['1', '2'] is not a single value"),
        ("kv-cache-memory-bytes: 4X", "'4X' is not a size"),
        ("- port", "must be lines of"),
        ("port: [", "not YAML"),
        ("\0", "not YAML"),
        (None, "No such file"),
    ],
)
def test_what_is_no_such_file(content: str | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "carousel.yaml"
    if content is not None:
        file.write_text(content)
    for command in ("config", "serve"):
        result = carousel(command, "--config", str(file))
        assert result.exit_code == 2, command
        assert unwrapped(problem) in unwrapped(result.stderr)
        assert unwrapped(str(file)) in unwrapped(result.stderr)


def unwrapped(text: str) -> str:
    """Without blanks and the frame that errors are drawn in, wherever their lines were broken."""
    return re.sub(r"[\s│]", "", text)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "carousel.yaml").touch()
    assert shown("--config", str(tmp_path / "carousel.yaml")) == shown()


def test_a_bad_variable_is_named() -> None:
    result = carousel("serve", CAROUSEL_PORT="tcp://10.0.0.1:8000")
    assert result.exit_code == 2
    assert "CAROUSEL_PORT" in result.stderr


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    program = typer.Typer()
    shown: list[str] = []

    @program.command(cls=SettingsCommand)
    def serve(
        context: typer.Context,
        password: Annotated[str | None, typer.Option(hide_input=True)] = None,
        config: ConfigFile = None,
    ) -> None:
        shown.extend(map(str, settings_of(context)))

    program.command()(lambda: None)
    result = CliRunner().invoke(program, ["serve", "--password", "xyzzy"])
    assert result.exit_code == 0, result.output
    assert shown == ["# password: not shown; from --password"]


def test_every_secret_is_marked() -> None:
    for command in COMMANDS.values():
        for parameter in command.params:
            if re.search(r"(keys?|token|secret|password)$", parameter.name):
                assert parameter.hide_input, f"{parameter.name} would be shown by `carousel config`"
