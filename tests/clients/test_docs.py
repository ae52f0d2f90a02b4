"""The examples of docs/clients.md, run as they stand."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.request import Request
from server.app import create_app
from server.text import Text
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine
from tests.server.serving import serving

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = re.findall(r"```(python|sh)\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), re.DOTALL)
CALL = '<|channel|>commentary to=functions.weather json<|message|>{"city": "Paris"}<|call|>'


@pytest.fixture
async def documented(text: Text, say: Callable[..., Script]) -> AsyncIterator[str]:
    """The URL of a server that calls a tool if there is one, and takes every token id that `bench` draws."""

    def play(request: Request) -> Script:
        prompt = bytes(token for token in request.prompt_token_ids if token < 256).decode(errors="replace")
        return say(CALL if "type weather" in prompt and '"rain"' not in prompt else "Hello!")

    async with serving(create_app(ScriptedEngine(play, vocab_size=1000), text, SETTINGS)) as url:
        yield url


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize(("language", "code"), EXAMPLES)
async def test_examples(documented: str, tmp_path: Path, language: str, code: str) -> None:
    if language == "python":
        command = [sys.executable, "-c", code.replace("http://127.0.0.1:8000", documented)]
    else:
        command = ["bash", "-eo", "pipefail", "-c", f'carousel() {{ {sys.executable} -m clients "$@"; }}\n{code}']
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CAROUSEL_URL": documented},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "weather" in code:
        assert done.stdout == "Hello!\n4 messages\n"
    if "temperature=9" in code:
        assert "temperature must be" in done.stdout
    if "printf" in code:
        assert done.stdout == "Hello!\nHello!\n"
    if "--plot" in code:
        assert (tmp_path / "results.json").exists()
        assert (tmp_path / "results.png").exists()
