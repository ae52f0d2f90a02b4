"""The Dockerfile, as far as it can be tried without building it; `make image-check` builds it and runs the image."""

import asyncio
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from engine.streams import EngineStatus
from server.app import create_app
from server.text import Text
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import ScriptedEngine
from tests.server.serving import serving

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sysconfig.get_path("scripts")) / "hadolint"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def hadolint(dockerfile: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "--no-color", "--failure-threshold", "style", "-"]
    return subprocess.run(command, input=dockerfile, capture_output=True, text=True)


def test_lint() -> None:
    assert (found := hadolint(DOCKERFILE)).returncode == 0, found.stdout
    assert "DL3002" in hadolint(re.sub(r"USER .*", "USER root", DOCKERFILE)).stdout


def test_bases_are_pinned_by_digest() -> None:
    base = re.search(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)[1]
    assert re.fullmatch(r"\S+:[\d.]+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    stages = {"${BASE}"}
    for source, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE):
        assert source in stages
        stages.add(name)


def test_what_is_copied_is_what_the_project_is_made_of() -> None:
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for source in sources.split()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert copied == packages | {"constraints.txt", "pyproject.toml", "README.md", "LICENSE"}
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(sent) == copied


def test_the_build_itself_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (backend,) = project["build-system"]["requires"]
    name = re.match(r"[\w-]+", backend)[0]
    assert re.search(rf"^{name}==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("phase", "healthy"), [("ready", True), ("loading", False), ("dead", False)])
async def test_healthcheck_whatever_proxy_there_is(
    engine: ScriptedEngine, text: Text, phase: str, healthy: bool
) -> None:
    _, command = re.search(r"^HEALTHCHECK (.*) \\\n +CMD (.*)$", DOCKERFILE, re.MULTILINE).groups()
    python, *rest = json.loads(command)
    assert python == "python3"
    engine.phase = EngineStatus(phase)
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    environment["http_proxy"] = "http://127.0.0.1:9"
    async with serving(create_app(engine, text, SETTINGS)) as url:
        arguments = [argument.replace("http://127.0.0.1:8000", url) for argument in rest]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=environment, stderr=subprocess.DEVNULL
        )
        assert (await process.wait() == 0) == healthy
