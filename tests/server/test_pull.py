"""`carousel pull` and `carousel serve ORG/NAME`, with a hub of one's own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.hub import EMBEDDED
from tests.engine.checkpoint.hub_server import Hub, running

CAROUSEL = [sys.executable, "-c", "from server.cli import main; main()"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    hub.add("org/embedded", EMBEDDED)
    with running(hub):
        yield hub


def carousel(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    return subprocess.run([*CAROUSEL, *arguments], env=environment, capture_output=True, text=True, check=False)


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


def test_a_model_that_cannot_be_served_is_refused_before_its_weights(hub: Hub, tmp_path: Path) -> None:
    files = hub.repositories["org/embedded"]
    files["config.json"] = files["config.json"].replace(b"gpt_oss", b"llama")
    done = carousel(hub, tmp_path, "serve", "org/embedded")
    assert done.returncode == 1
    assert done.stderr.startswith("carousel: ")
    assert 'model_type must be "gpt_oss", got "llama"' in done.stderr
    assert "model.safetensors" not in hub.sent


def test_errors_are_one_line(hub: Hub, tmp_path: Path) -> None:
    done = carousel(hub, tmp_path, "pull", "org/none")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("carousel: org/none: no such directory, and no such model on the hub")


def test_a_local_model_is_only_checked(hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED, tmp_path / "model")
    done = carousel(hub, tmp_path, "pull", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    assert not hub.asked
