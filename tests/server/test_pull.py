"""`carousel pull` and `carousel serve ORG/NAME`, with a hub of one's own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from engine.checkpoint.hub import EMBEDDED
from tests.engine.checkpoint.hub_server import Hub, running
from tests.server.first_process import AS_FIRST, can_be_first
from tests.server.started import read_until_ready

PROGRAM = "from server.cli import main; main()"
CAROUSEL = [sys.executable, "-c", PROGRAM]


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    hub.add("org/embedded", EMBEDDED)
    with running(hub):
        yield hub


def carousel(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    return subprocess.run([*CAROUSEL, *arguments], env=environment, capture_output=True, text=True, check=False)


def longest_incomplete(home: Path) -> int:
    """Bytes there are of the longest file that is being fetched. Any may be completed while it is looked at."""
    sizes = [0]
    for path in home.rglob("*.incomplete"):
        with suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return max(sizes)


def test_pull(hub: Hub, tmp_path: Path) -> None:
    done = carousel(hub, tmp_path, "pull", "org/embedded")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("org/embedded: complete, ")
    assert str(tmp_path) in done.stdout
    assert "downloading org/embedded: " in done.stderr
    hub.asked.clear()
    planned = carousel(hub, tmp_path, "plan", "org/embedded", "--memory", "1G")
    assert planned.returncode == 0, planned.stderr
    assert not hub.asked
    again = carousel(hub, tmp_path, "pull", "org/embedded")
    assert again.stdout == done.stdout


def test_a_pull_that_is_killed_and_a_server_that_goes_on_from_it(hub: Hub, tmp_path: Path) -> None:
    """A chat with a hub model whose download was broken off in the middle of its weights."""
    size = len(hub.repositories["org/embedded"]["model.safetensors"])
    hub.stalls["model.safetensors"] = size // 2
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
    small_chunks = "import huggingface_hub.constants as constants; constants.DOWNLOAD_CHUNK_SIZE = 2**16\n"
    pulling = [sys.executable, "-c", small_chunks + PROGRAM, "pull", "org/embedded"]
    with subprocess.Popen(pulling, env=environment, stderr=subprocess.DEVNULL) as process:
        while (there := longest_incomplete(tmp_path)) <= size // 4:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    hub.stalls.clear()
    flags = ["--port", "0", "--device", "cpu", "--max-num-seqs", "1", "--log-format", "json"]
    serving = [*CAROUSEL, "serve", "org/embedded", *flags]
    with subprocess.Popen(serving, env=environment, stderr=subprocess.PIPE, text=True) as process:
        url, lines = read_until_ready(process, "org/embedded")
        body = {"messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 20}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).json()
        process.terminate()
    assert answer["model"] == "org/embedded"
    first, *_, last = [json.loads(line) for line in lines]
    assert (first["event"], last["event"]) == ("download", "ready")
    assert first["message"].startswith("downloading org/embedded: ")
    assert hub.sent["model.safetensors"] <= size - there


@pytest.mark.skipif(not can_be_first(), reason="needs root and util-linux")
@pytest.mark.parametrize("command", ["pull", "serve"])
def test_a_container_can_be_stopped_while_it_downloads(hub: Hub, tmp_path: Path, command: str) -> None:
    hub.stalls["model.safetensors"] = 2**16
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
    flags = ["--port", "0"] if command == "serve" else []
    starting = [*AS_FIRST, *CAROUSEL, command, "org/embedded", *flags]
    with subprocess.Popen(starting, env=environment, stderr=subprocess.DEVNULL) as process:
        while not any("model.safetensors" in path for path in hub.asked):
            assert process.poll() is None
            time.sleep(0.02)
        (first,) = psutil.Process(process.pid).children()
        first.terminate()
        try:
            assert process.wait(timeout=60) == 128 + signal.SIGTERM
        finally:
            with suppress(psutil.NoSuchProcess):
                first.kill()


def test_a_model_that_cannot_be_served_is_refused_before_its_weights(hub: Hub, tmp_path: Path) -> None:
    files = hub.repositories["org/embedded"]
    files["config.json"] = files["config.json"].replace(b"gpt_oss", b"llama")
    done = carousel(hub, tmp_path, "serve", "org/embedded", "--port", "0")
    assert done.returncode == 1
    assert done.stderr.startswith("carousel: ")
    assert 'model_type must be "gpt_oss", got "llama"' in done.stderr
    assert "model.safetensors" not in hub.sent


@pytest.mark.parametrize(
    ("flag", "value", "reason"), [("--device", "cuda:99", "cuda:99"), ("--kv-cache-memory-bytes", "1K", "KV cache")]
)
def test_what_the_machine_lacks_is_told_before_weights_are_fetched(
    hub: Hub, tmp_path: Path, flag: str, value: str, reason: str
) -> None:
    done = carousel(hub, tmp_path, "serve", "org/embedded", "--port", "0", flag, value)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("carousel: ")
    assert reason in done.stderr
    assert "config.json" in hub.sent
    assert "model.safetensors" not in hub.sent


def test_what_the_server_cannot_do_is_refused_before_anything_is_fetched(hub: Hub, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        for flag, value in (("--max-num-seqs", "0"), ("--port", str(other.getsockname()[1]))):
            done = carousel(hub, tmp_path, "serve", "org/embedded", "--port", "0", flag, value)
            assert done.returncode == 1
            assert value in done.stderr
    assert not hub.asked


def test_errors_are_one_line(hub: Hub, tmp_path: Path) -> None:
    done = carousel(hub, tmp_path, "pull", "org/none")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("carousel: org/none: no such directory, and no such model on the hub")


def test_a_local_model_is_only_checked(hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED, tmp_path / "model")
    done = carousel(hub, tmp_path, "pull", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    assert not hub.asked
