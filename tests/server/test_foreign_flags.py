"""What vLLM's users paste: left out where it asks for what holds anyway, refused in one line where it does not."""

import json
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner, Result

from server.cli import app
from server.commands.foreign_flags import FLAGS, without_foreign
from server.settings import SettingsCommand

PASTED = """
    openai/gpt-oss-20b --dtype auto --quantization mxfp4 --kv-cache-dtype fp8_e4m3 --load-format safetensors
    --max-model-len 32K --max-num-batched-tokens 8k --max-num-seqs 64 --gpu-memory-utilization 0.95 --seed 7
    --enable-auto-tool-choice --tool-call-parser openai --reasoning-parser=openai_gptoss --trust-remote-code
    --swap-space 4 --async-scheduling --tensor-parallel-size 1 -pp 1 -dp=1 --enable-chunked-prefill
    --no-enable-prefix-caching --disable-log-requests --no-enable-log-requests --disable-log-stats --port 8001
"""
OWN = {
    "model": "openai/gpt-oss-20b", "dtype": "bfloat16", "quantization": "none", "kv-cache-dtype": "fp8",
    "load-format": "auto", "max-model-len": 32768, "max-num-batched-tokens": 8000, "max-num-seqs": 64,
    "gpu-memory-utilization": 0.95, "seed": 7, "enable-prefix-caching": False, "port": 8001,
}  # fmt: skip


def carousel(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_what_is_pasted_is_taken_but_for_what_holds_anyway() -> None:
    result = carousel("config", *PASTED.split())
    assert result.exit_code == 0, result.stderr
    settings = yaml.safe_load(result.stdout)
    assert {name: settings[name] for name in OWN} == OWN
    said = [line.partition("info    ")[2] for line in result.stderr.splitlines()]
    assert [line.partition(" is not needed: ")[0] for line in said] == [
        "--enable-auto-tool-choice", "--tool-call-parser openai", "--reasoning-parser openai_gptoss",
        "--trust-remote-code", "--swap-space 4", "--async-scheduling", "--tensor-parallel-size 1", "-pp 1", "-dp 1",
        "--enable-chunked-prefill", "--disable-log-requests", "--no-enable-log-requests", "--disable-log-stats",
    ]  # fmt: skip


def test_every_command_of_settings_leaves_them_out() -> None:
    result = carousel("plan", "embedded", "--memory", "80GiB", "-tp", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("\n") == 1
    assert "-tp 1 is not needed: " in result.stderr


def test_what_is_left_out_is_an_object_in_a_log_of_objects() -> None:
    result = carousel("serve", "/no/such/model", "--trust-remote-code", "--log-format", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("not_needed", "info"), ("failed", "error")]
    assert lines[0]["message"].startswith("--trust-remote-code is not needed: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-tp", "2"], "-tp 2 is not accepted: one device serves the whole model"),
        (["--tensor-parallel-size=2"], "--tensor-parallel-size 2 is not accepted: one device serves the whole model"),
        (["--tensor-parallel-size"], "--tensor-parallel-size is not accepted: one device serves the whole model"),
        (["--data-parallel-size", "8"], "--data-parallel-size 8 is not accepted: start a server for each GPU"),
        (["--tool-call-parser", "hermes"], "--tool-call-parser hermes is not accepted: calls are read as gpt-oss"),
        (["--trust-remote-code=False"], "--trust-remote-code is not accepted: "),
        (["--model", "openai/gpt-oss-20b"], "--model is not accepted: the model is the argument"),
        (["--hf-token=xyzzy"], "--hf-token is not accepted: set HF_TOKEN"),
        (["--chat-template", "mine.jinja"], "--chat-template is not accepted: put yours into the model's directory"),
        (["--cuda-graph-sizes", "1", "2", "4"], "--cuda-graph-sizes is not accepted: "),
        (["--uvicorn-log-level", "warning"], "--uvicorn-log-level is not accepted: "),
        (["--no-enable-chunked-prefill"], "--no-enable-chunked-prefill is not accepted: "),
    ],
)
@pytest.mark.parametrize("command", ["serve", "plan", "config"])
def test_what_asks_for_something_else_is_refused_in_one_line(command: str, arguments: list[str], line: str) -> None:
    result = carousel(command, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"carousel: {line}")
    assert result.stderr.count("\n") == 1
    assert "xyzzy" not in result.stderr


@pytest.mark.parametrize("name", FLAGS)
def test_each_is_left_out_or_refused(name: str) -> None:
    flag = FLAGS[name]
    if flag.values is None:
        assert carousel("config", name, "x").stderr.startswith(f"carousel: {name} is not accepted: ")
    for value in flag.values.split("|") if flag.values is not None else ():
        kept, (line,) = without_foreign(["a", name, *filter(None, [value]), "b"])
        assert kept == ["a", "b"]
        assert line.startswith(f"{name} {value}".rstrip() + " is not needed: ")


def test_none_of_them_is_a_flag_here_or_in_the_help() -> None:
    program = get_command(app)
    assert isinstance(program, TyperGroup)
    commands = {name: command for name, command in program.commands.items() if isinstance(command, SettingsCommand)}
    assert commands.keys() == {"serve", "plan"}
    for name, command in commands.items():
        own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert not own & FLAGS.keys()
        words = set(carousel(name, "--help").stdout.replace("│", " ").split())
        assert "--help" in words
        assert not words & FLAGS.keys()


def test_what_stands_behind_two_dashes_is_no_flag() -> None:
    assert without_foreign(["--port", "1", "--", "--model"]) == (["--port", "1", "--", "--model"], [])


def test_the_file_and_the_environment_do_not_know_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "carousel.yaml"
    file.write_text("tensor-parallel-size: 2")
    result = carousel("config", "--config", str(file))
    assert result.exit_code == 2
    assert "unknown setting 'tensor-parallel-size'" in " ".join(result.stderr.replace("│", " ").split())
    monkeypatch.setenv("CAROUSEL_TENSOR_PARALLEL_SIZE", "2")
    assert carousel("config").exit_code == 0
