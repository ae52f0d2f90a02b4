"""The commands as transcripts."""

import json
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import engine
from engine.checkpoint.hub import EMBEDDED
from engine.config import EngineConfig
from engine.errors import ConfigError
from server.cli import app
from server.commands import serve
from server.commands.serve import Checkpoint, bind, open_checkpoint
from server.config import ServerConfig
from server.text import Text


def carousel(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_version() -> None:
    result = carousel("--version")
    assert (result.exit_code, result.stdout) == (0, f"carousel {engine.__version__}\n")


def test_bad_flags() -> None:
    assert carousel("serve", "--no-such-flag").exit_code == 2
    assert carousel("serve", "--dtype", "int3").exit_code == 2
    assert carousel("serve", "--max-model-len", "32x").exit_code == 2
    assert carousel("serve", "--max-num-batched-tokens", "auto").exit_code == 2
    assert carousel("serve", "--kv-cache-memory-bytes", "4X").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/such/model"], "/no/such/model"),
        (["--port", "70000"], "--port"),
        (["--host", "a..b"], "cannot listen on a..b:8000: "),
        (["--api-key-file", ""], "cannot read the API keys"),
        (["--block-size", "0"], "--block-size must be in"),
        (["--max-num-seqs", "9", "--max-num-batched-tokens", "8"], "--max-num-batched-tokens 8 must be at least"),
        (["--max-model-len", "0"], "--max-model-len"),
        (["--max-model-len", f"{2**63}"], "--max-model-len"),
        (["--max-waiting", f"{10**20}"], "--max-waiting"),
        (["--seed", f"{2**64}"], "--seed"),
        (["--seed", f"{-(2**63)}"], "--seed"),
        (["--gpu-memory-utilization", "1.5"], "--gpu-memory-utilization"),
        (["--current-date", "today"], "--current-date"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments: list[str], message: str) -> None:
    result = carousel("serve", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("carousel: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_blank_key_does_not_open_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAROUSEL_API_KEY", " \n")
    result = carousel("serve")
    assert result.exit_code == 1
    assert "CAROUSEL_API_KEY is blank" in result.stderr


def test_what_cannot_be_served_is_an_object_in_a_log_of_objects() -> None:
    result = carousel("serve", "/no/such/model", "--log-format", "json")
    assert result.exit_code == 1
    line = json.loads(result.stderr)
    assert (line["event"], line["level"]) == ("failed", "error")
    assert line["message"].startswith("/no/such/model: no such directory")


@pytest.mark.parametrize("flags", [[], ["--ignore-hosted-tools"]])
def test_hosted_tools_are_ignored_where_it_says_so(monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    served = []

    def run(checkpoint: Checkpoint, settings: ServerConfig, *rest: Any) -> None:
        served.append(settings.ignore_hosted_tools)
        next(each for each in rest if isinstance(each, socket.socket)).close()

    monkeypatch.setattr(serve, "open_checkpoint", lambda *_: Checkpoint(EMBEDDED, Text.load(EMBEDDED), ""))
    monkeypatch.setattr(serve, "run", run)
    assert carousel("serve", "--port", "0", *flags).exit_code == 0
    assert served == [bool(flags)]


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = carousel("serve", "--port", str(port))
        assert result.exit_code == 1
        assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    with pytest.raises(ConfigError, match="cannot listen"):
        bind("no.such.host.invalid", 0)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6, or none that takes IPv4 too")
@pytest.mark.parametrize("host", ["::", "0::0"])
def test_all_addresses_of_ipv6_are_those_of_ipv4_too(host: str) -> None:
    with bind(host, 0) as listener:
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, listener.getsockname()[1]), timeout=10).close()
    with bind("::1", 0) as alone, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", alone.getsockname()[1]), timeout=10)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(EMBEDDED, directory)
    config = EngineConfig(model=directory)
    open_checkpoint(str(directory), None, config)
    weights = directory / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = carousel("serve", str(directory))
    assert result.exit_code == 1
    assert str(weights) in result.stderr
    open_checkpoint(str(directory), None, replace(config, load_format="dummy"))


def test_a_vocabulary_beyond_the_embedding_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(EMBEDDED, directory)
    tokenizer = directory / "tokenizer.json"
    definition = json.loads(tokenizer.read_bytes())
    definition["added_tokens"].append({**definition["added_tokens"][-1], "id": 1856, "content": "<|more|>"})
    tokenizer.write_text(json.dumps(definition))
    result = carousel("serve", str(directory))
    assert result.exit_code == 1
    assert f"{tokenizer}: has tokens up to 1856, but config.json a vocab_size of 1856" in result.stderr


def test_plan() -> None:
    result = carousel("plan", "embedded", "--memory", "80GiB", "--max-model-len", "2048", "--max-num-seqs", "8")
    assert result.exit_code == 0, result.stderr
    assert "8 slots" in result.stdout
    assert "2,048 tokens" in result.stdout


def test_plan_with_resident_experts(tmp_path: Path) -> None:
    values = json.loads((EMBEDDED / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"quantization_config": {"quant_method": "mxfp4"}}))

    def weights_mib(*options: str) -> float:
        result = carousel("plan", str(tmp_path), "--memory", "80GiB", "--device", "cuda", *options)
        assert result.exit_code == 0, result.stderr
        found = re.search(r"weights +([\d.]+) MiB", result.stdout)
        assert found
        return float(found[1])

    assert weights_mib("--resident-experts") > weights_mib() + 1
    result = carousel("plan", str(tmp_path), "--memory", "80GiB", "--device", "cpu", "--resident-experts")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--resident-experts" in result.stderr


def test_plan_with_fp8_keys_and_values_takes_half() -> None:
    def ring_kib(*options: str) -> float:
        result = carousel("plan", "embedded", "--memory", "80GiB", *options)
        assert result.exit_code == 0, result.stderr
        found = re.search(r"with ([\d.]+) KiB of rings", result.stdout)
        assert found
        return float(found[1])

    assert ring_kib("--kv-cache-dtype", "fp8") == ring_kib() / 2


def test_plan_with_fp8_weights_has_a_higher_floor() -> None:
    def speed(*options: str) -> float:
        result = carousel("plan", "embedded", "--memory", "80GiB", "--bandwidth", "1GB", *options)
        assert result.exit_code == 0, result.stderr
        (row,) = re.findall(r"^ *1,024 .*", result.stdout, re.MULTILINE)
        return float(row.split()[-2].replace(",", ""))

    assert speed("--quantization", "fp8") > 1.2 * speed()


def test_plan_needs_no_weights(tmp_path: Path) -> None:
    config = json.loads((EMBEDDED / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert carousel("plan", str(tmp_path), "--memory", "1GiB").exit_code == 0
    result = carousel("plan", str(tmp_path), "--memory", "1K")
    assert result.exit_code == 1
    assert "do not fit" in result.stderr
