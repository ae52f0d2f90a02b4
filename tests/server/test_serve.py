"""`carousel serve`, started and stopped."""

import json
import re
import signal
import subprocess
import sys
from contextlib import suppress

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from server.cli import app
from tests.server.first_process import AS_FIRST, can_be_first
from tests.server.started import read_until_ready

SERVE = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--port", "0"]
SMALL = ["--dtype", "float32", "--device", "cpu", "--max-model-len", "256", "--max-num-seqs", "2"]
SECRET = "xyzzy-plugh"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_serve_until_told_to_stop(log_format: str) -> None:
    with subprocess.Popen([*SERVE, *SMALL, "--log-format", log_format], stderr=subprocess.PIPE, text=True) as process:
        url, lines = read_until_ready(process)
        (plan,) = (number for number, line in enumerate(lines) if "2 slots" in line)
        assert not any("weights: " in line for line in lines[:plan]), "the memory plan is shown before they are loaded"
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {SECRET}"}) as client:
            body = {"prompt": f"Once upon a time {SECRET}", "max_tokens": 8, "echo": True}
            answer = client.post("/v1/completions", json=body).json()
            assert answer["usage"]["completion_tokens"] <= 8
            assert re.fullmatch(r"carousel-[0-9.]+-[0-9a-f]{8}", answer["system_fingerprint"])
            assert client.get("/health").status_code == 200
            pages = float(
                re.search(r"^carousel_cache_pages_limit (\S+)$", client.get("/metrics").text, re.MULTILINE)[1]
            )
            assert pages > 0
        process.send_signal(signal.SIGTERM)
        request, *ending = process.stderr.read().splitlines()
        assert process.wait(timeout=60) == 0
    assert "/v1/completions" in request
    assert SECRET not in "".join([*lines, request, *ending])
    if log_format == "json":
        events = [event for line in (*lines, request, *ending) if (event := json.loads(line))["event"] != "loading"]
        assert [event["event"] for event in events] == ["start", "plan", "ready", "request", "stopping", "stopped"]
        assert events[3]["completion_tokens"] == answer["usage"]["completion_tokens"]


def test_told_to_stop_while_it_loads() -> None:
    with subprocess.Popen([*SERVE, *SMALL, "--log-format", "json"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        start = json.loads(process.stderr.readline())
        with httpx.Client(base_url=re.search(r"http://\S+", start["message"])[0]) as client:
            while not answers(client):  # Until then the signal ends it as it ends any program.
                assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        events = [json.loads(line)["event"] for line in process.stderr]
        assert process.wait(timeout=60) == 0
    assert events[-2:] == ["stopping", "stopped"]


@pytest.mark.parametrize(("before", "status"), [([], -signal.SIGTERM), (AS_FIRST, 128 + signal.SIGTERM)])
def test_told_twice_it_is_gone_also_as_the_first_process(before: list[str], status: int) -> None:
    if before and not can_be_first():
        pytest.skip("needs root and util-linux")
    code = """
import signal, uvicorn
from server.listening import Server
server = Server(uvicorn.Config("none"), None, lambda: print("killed", flush=True))
for _ in range(2):
    server.handle_exit(signal.SIGTERM, None)
print("still there")
"""
    ended = subprocess.run([*before, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (status, "killed\n"), ended.stderr


def answers(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return client.get("/health").status_code == 200
    return False


def test_an_engine_that_is_given_up_ends_the_server() -> None:
    """Its exit status tells whatever started it to start it again."""
    command = [*SERVE, *SMALL, "--max-engine-restarts", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        read_until_ready(process)
        (engine,) = psutil.Process(process.pid).children()
        engine.kill()
        (last,) = process.stderr.read().splitlines()
        assert process.wait(timeout=60) == 1
    assert "Carousel ends: the engine process ended (killed by SIGKILL); given up after 0 restarts" in last


def test_an_engine_that_cannot_start_ends_the_server() -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "0", "--kv-cache-memory-bytes", "1K"])
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert " error   cannot start: " in last
    assert "KV cache" in last
