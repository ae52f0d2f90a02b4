"""What an operator does: stops it, starts it wrongly, asks too early, gives it too few file descriptors."""

import asyncio
import json
import os
import resource
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from engine.config import EngineConfig
from server.cli import app
from tests.checkpoints import read_tensors
from tests.faults.served import SMALL, gone, served, until, url_in, wait_until_gone

LONG = {"prompt": "for a long time", "max_tokens": 1000, "ignore_eos": True}
BRIEF = {"prompt": "for a moment", "max_tokens": 300, "ignore_eos": True, "stream": True}


def carousel(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["serve", *SMALL, *arguments])


def reason(result: Result) -> str:
    """What the only line of the log says."""
    (line,) = map(json.loads, result.stderr.splitlines())
    assert line["event"] == "failed"
    return line["message"]


def edit_header(file: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    edit(header)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])


def overlap(header: dict[str, Any]) -> None:
    header["model.norm.weight"]["data_offsets"] = header["lm_head.weight"]["data_offsets"]


def reshape(header: dict[str, Any]) -> None:
    header["lm_head.weight"]["shape"].reverse()


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    ("damage", "tensor"),
    [
        ("truncated", None),
        ("overlapping", "model.norm.weight"),
        ("wrong shape", "lm_head.weight"),
        ("missing", "model.norm.weight"),
        ("extra", "model.layers.0.self_attn.stowaway"),
        ("huge header", None),
        ("no header", None),
    ],
)
def test_broken_weights(tiny_model: EngineConfig, tmp_path: Path, damage: str, tensor: str | None) -> None:
    directory = tmp_path / "model"
    shutil.copytree(tiny_model.model, directory)
    file = directory / "model.safetensors"
    tensors = read_tensors(directory)
    match damage:
        case "truncated":
            file.write_bytes(file.read_bytes()[:-100])
        case "overlapping":
            edit_header(file, overlap)
        case "wrong shape":
            edit_header(file, reshape)
        case "missing":
            save_file({name: value for name, value in tensors.items() if name != tensor}, file)
        case "extra":
            save_file(tensors | {str(tensor): torch.zeros(1)}, file)
        case "huge header":
            file.write_bytes((2**40).to_bytes(8, "little") + file.read_bytes()[8:])
        case "no header":
            file.write_bytes(b"\0" * 8)
    result = carousel(str(directory))
    assert result.exit_code == 1
    said = reason(result)
    assert "model.safetensors" in said or damage == "missing"
    assert tensor is None or tensor in said


@pytest.mark.fault(39)
def test_what_cannot_be_is_said_before_anything_is_loaded(tiny_model: EngineConfig, tmp_path: Path) -> None:
    """One line, and no line of a server that starts."""
    model = str(tiny_model.model)
    unreadable = tmp_path / "unreadable"
    unreadable.mkdir()
    (unreadable / "config.json").write_text("{")
    keys = tmp_path / "keys"
    keys.write_text("# none yet\n\n")
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        for arguments, said in (
            ([model, "--port", taken], f"cannot listen on 127.0.0.1:{taken}"),
            ([model, "--port", "70000"], "--port"),
            ([model, "--max-waiting", "-1"], "--max-waiting"),
            ([model, "--request-timeout", "0"], "--request-timeout"),
            ([model, "--drain-timeout", "nan"], "--drain-timeout"),
            ([model, "--allowed-host", "*"], "--allowed-host"),
            ([model, "--allowed-origin", "*"], "--allowed-origin"),
            ([model, "--api-key", ""], "API key 1"),
            ([model, "--api-key", "ü"], "API key 1"),
            ([model, "--api-key-file", str(tmp_path / "none")], str(tmp_path / "none")),
            ([model, "--api-key-file", str(keys)], "no API key"),
            (["/no/such/model"], "/no/such/model"),
            ([str(unreadable)], "config.json"),
        ):
            result = carousel(*arguments)
            assert result.exit_code == 1, arguments
            assert said in reason(result)
    for arguments in (["--no-such-flag"], ["--port", "x"], ["--dtype", "int3"]):
        assert carousel(*arguments).exit_code == 2


@pytest.mark.fault(38)
@pytest.mark.fault(40)
def test_from_loading_to_draining(tiny_model: EngineConfig) -> None:
    """Asked while it loads; told to stop while it answers."""
    with served(tiny_model.model, "--drain-timeout", "2", "--api-key", "the-only-key") as server:
        url = url_in(server.wait_for("start"))
        key = {"authorization": "Bearer the-only-key"}
        with httpx.Client(base_url=url, timeout=60, headers=key) as http:
            assert until(http, "/health", 200).json() == {"status": "ok"}
            early = http.get("/ready")
            assert (early.status_code, early.json()["status"]) == (503, "loading")
            assert 0 <= early.json()["progress"] < 1
            assert "retry-after" in early.headers
            refused = http.post("/v1/completions", json=LONG)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_not_ready")
            until(http, "/ready", 200)
            engine = server.engine
            asyncio.run(stopped_under_load(url, key, server.pid, engine))
        assert server.process.wait(timeout=30) == 0
        wait_until_gone(engine, seconds=10)
        server.rest()
    assert "the-only-key" not in json.dumps(server.lines)
    assert not [line for line in server.lines if line["level"] in ("warning", "error")]


async def stopped_under_load(url: str, key: dict[str, str], *pids: int) -> None:
    """The signal reaches all processes, as from a service manager."""
    async with httpx.AsyncClient(base_url=url, timeout=60, headers=key) as http:
        hanging = [asyncio.create_task(http.post("/v1/completions", json=LONG | {"n": 8})) for _ in range(2)]
        async with http.stream("POST", "/v1/completions", json=BRIEF | {"priority": -1}) as stream:
            received = stream.aiter_text()
            await anext(received)
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            async with asyncio.timeout(10):
                while (await http.get("/ready")).status_code == 200:
                    await asyncio.sleep(0.01)
            ready = await http.get("/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
            late = await http.post("/v1/completions", json=LONG)
            assert (late.status_code, late.json()["error"]["code"]) == (503, "engine_not_ready")
            assert (await http.get("/health")).status_code == 200
            ending = "".join([piece async for piece in received])
        assert ending.endswith("data: [DONE]\n\n") or '"code": "engine_not_ready"' in ending
        for response in await asyncio.gather(*hanging):
            assert response.status_code == 200 or response.json()["error"]["code"] == "engine_not_ready"


@pytest.mark.fault(22)
@pytest.mark.fault(38)
def test_used_up_descriptors_and_a_second_signal(tiny_model: EngineConfig) -> None:
    with served(tiny_model.model, "--drain-timeout", "60", "--host", "0.0.0.0") as server:
        own = socket.gethostname()
        assert f"localhost, {own}, " in server.wait_for("names")["message"]
        assert "ANYBODY" in server.wait_for("open")["message"]
        url = url_in(server.wait_for("ready")).replace("0.0.0.0", "127.0.0.1")
        named = [
            httpx.get(f"{url}/version", headers={"host": name}).status_code for name in (own, "x.internal", "x.example")
        ]
        assert named == [200, 200, 403]
        address = ("127.0.0.1", httpx.URL(url).port)
        with httpx.Client(base_url=url, timeout=60) as http:
            soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            there = len(os.listdir(f"/proc/{server.pid}/fd"))
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (there + 4, hard))
            held = [socket.create_connection(address, timeout=30) for _ in range(20)]
            assert len(os.listdir(f"/proc/{server.pid}/fd")) <= there + 4
            for connection in held:
                connection.close()
            with httpx.Client(base_url=url, timeout=60) as after:
                assert until(after, "/ready", 200)
                assert after.post("/v1/completions", json={"prompt": "again", "max_tokens": 2}).status_code == 200
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))
        engine = server.engine
        with (
            httpx.Client(base_url=url, timeout=60) as http,
            http.stream("POST", "/v1/completions", json=LONG | {"n": 8, "stream": True}) as stream,
        ):
            received = stream.iter_raw()  # Which hangs up when it is forgotten.
            next(received)
            server.process.send_signal(signal.SIGTERM)
            with httpx.Client(base_url=url, timeout=60) as other:
                until(other, "/ready", 503)
            assert not gone(server.pid)
            server.process.send_signal(signal.SIGTERM)
            wait_until_gone(server.pid, engine, seconds=5)  # One, if the machine does nothing else.
        assert server.process.wait(timeout=30) == -signal.SIGTERM
