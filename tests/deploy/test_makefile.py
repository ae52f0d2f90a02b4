"""The Makefile, with programs that stand in for Python and for what is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
case "$*" in
    "-m venv "*)
        mkdir -p .venv/bin
        cp "$0" .venv/bin/python
        test -e has-ensurepip || { echo 'ensurepip is not available' >&2; exit 1; }
        touch .venv/bin/pip ;;
    "-m pip "*)
        test -e .venv/bin/pip || { echo 'No module named pip' >&2; exit 1; } ;;
esac
"""
CAROUSEL = """#!/bin/sh
echo "model from the environment: $CAROUSEL_MODEL"
for argument; do echo "$argument"; done
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    write_program(tmp_path / "python3", PYTHON)
    return tmp_path


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def make(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MODEL", "MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "--silent", "PYTHON=./python3", *arguments]
    return subprocess.run(command, cwd=checkout, env={**environment, **variables}, capture_output=True, text=True)


def test_debians_python_without_venv_is_no_end(checkout: Path) -> None:
    """It makes .venv/bin/python and then fails; python3-venv may be installed afterwards."""
    without = make(checkout, "install")
    assert without.returncode != 0
    assert "apt install python3-venv" in without.stderr
    (checkout / "has-ensurepip").touch()
    assert make(checkout, "install").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        ((), {}, []),
        (("MODEL=/models/my own",), {}, ["/models/my own"]),
        (("MODEL=org/name", "ARGS=--port 9000"), {}, ["org/name", "--port", "9000"]),
        ((), {"CAROUSEL_MODEL": "org/name"}, []),
    ],
)
def test_the_model_is_the_one_that_is_named(
    checkout: Path, arguments: tuple[str, ...], variables: dict[str, str], told: list[str]
) -> None:
    (checkout / "has-ensurepip").touch()
    assert make(checkout, "install").returncode == 0
    write_program(checkout / ".venv/bin/carousel", CAROUSEL)
    environment, *rest = make(checkout, "serve", *arguments, **{"CAROUSEL_MODEL": "", **variables}).stdout.splitlines()
    assert rest == ["serve", *told]
    assert environment.endswith(f": {variables.get('CAROUSEL_MODEL', '')}")
