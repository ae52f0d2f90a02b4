"""The commands for scripts and pipes as transcripts."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from server.cli import app as command
from tests.server.scripted_engine import Script, ScriptedEngine

ROOT = Path(__file__).parent.parent.parent
Say = Callable[..., Script]
TURN = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
CALL = '<|channel|>commentary to=functions.weather json<|message|>{"city": "Paris"}<|call|>'
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


async def carousel(*arguments: str, typed: str = "", **environment: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, command, arguments, input=typed, env=environment)


def asked(engine: ScriptedEngine, at: int) -> str:
    """The text of a prompt, without its special tokens."""
    return bytes(token for token in engine.submitted[at].prompt_token_ids if token < 256).decode()


async def test_complete(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("world :smile: [red]😀", per_step=2)
    result = await carousel(
        "complete", "Hello", "--url", url, "--temperature", "0", "--max-tokens", "50", "--stop", "x"
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, "world :smile: [red]😀\n", "")
    sampling = engine.submitted[0].sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.stop) == (0, 50, ("x",))


async def test_complete_reads_standard_input(url: str, engine: ScriptedEngine) -> None:
    result = await carousel("complete", typed="two\nlines\n", CAROUSEL_URL=f"{url}/v1")
    assert (result.exit_code, result.stdout) == (0, "Hello!\n")
    assert asked(engine, 0) == "two\nlines"


async def test_complete_as_json(url: str) -> None:
    result = await carousel("complete", "Hello", "--url", url, "--json", "--stop", "!")
    assert result.stdout.count("\n") == 1
    answer = json.loads(result.stdout)
    assert (answer["choices"][0]["text"], answer["choices"][0]["stop_reason"]) == ("Hello", "!")
    assert answer["usage"]["prompt_tokens"] == 5


async def test_piped_chat_answers_line_by_line(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(f"{TURN}Answer {len(engine.submitted)}")
    result = await carousel("chat", "--url", url, "--system", "Be brief.", typed="one\n\n two \n/help\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Answer 1\nAnswer 2\nAnswer 3\n", "")
    assert "Be brief." in asked(engine, 1)
    assert asked(engine, 1).endswith("useroneassistantfinalAnswer 1usertwoassistant")
    assert asked(engine, 2).endswith("user/helpassistant"), "a pipe has no commands"
    assert engine.submitted[1].sampling.temperature == 1.0, "what was not given is the server's to choose"


async def test_piped_chat_takes_a_tools_result_from_the_next_line(
    url: str, engine: ScriptedEngine, say: Say, tmp_path: Path
) -> None:
    turns = iter([CALL, f"{TURN}Wet."])
    engine.play = lambda request: say(next(turns))
    tools = tmp_path / "tools.json"
    tools.write_text(json.dumps(TOOLS))
    result = await carousel("chat", "--url", url, "--tools", str(tools), typed="weather?\nrain\n")
    assert (result.exit_code, result.stdout) == (0, 'weather {"city": "Paris"}\nWet.\n')
    assert "rain" in asked(engine, 1)


async def test_a_failure_is_one_line_on_stderr(url: str, engine: ScriptedEngine, say: Say, tmp_path: Path) -> None:
    engine.play = lambda request: say("ab", error="the forward pass failed")
    result = await carousel("chat", "--url", url, typed="one\ntwo\n")
    assert (result.exit_code, result.stderr) == (1, "carousel: the forward pass failed\n")
    result = await carousel("complete", "x", "--url", url, "--temperature", "9")
    assert result.exit_code == 1
    assert result.stderr.startswith("carousel: temperature must be")
    for content in ("{", "{}"):
        (tmp_path / "tools.json").write_text(content)
        result = await carousel("chat", "--url", url, "--tools", str(tmp_path / "tools.json"))
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert (await carousel("chat", "--url", url, "--tools", "/no/such/file")).exit_code == 1


@pytest.mark.parametrize("arguments", [["complete", "x"], ["chat"], ["bench"]])
async def test_nobody_there(arguments: list[str]) -> None:
    result = await carousel(*arguments, "--url", "http://127.0.0.1:1", typed="hi\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "carousel: no server answers at http://127.0.0.1:1: is it running, and is the URL right?\n"


async def test_what_cannot_be_sent_is_one_line(url: str) -> None:
    wrong: list[tuple[list[str], dict[str, str]]] = [
        (["complete", "x", "--temperature", "nan"], {}),
        (["complete", "a lone \ud83d"], {}),
        (["complete", "x"], {"CAROUSEL_API_KEY": "schlüssel"}),
        (["complete", "x"], {"SSL_CERT_FILE": "/no/such/file"}),
        (["chat"], {"SSL_CERT_FILE": "/no/such/file"}),
    ]
    for arguments, environment in wrong:
        result = await carousel(*arguments, "--url", url, typed="hi\n", **environment)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1), result.stderr
        assert "cannot be used" in result.stderr


@pytest.mark.parametrize("command", ["complete", "chat"])
def test_input_that_is_no_text_is_one_line(url: str, command: str) -> None:
    program = [sys.executable, "-m", "clients", command, "--url", url]
    encoding = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(program, input=b"caf\xe9\n", capture_output=True, cwd=ROOT, env=encoding, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"carousel: the input is not text in utf-8\n")


async def test_output_without_a_character_shows_question_marks(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("café 😀")
    program = [sys.executable, "-m", "clients", "complete", "x", "--url", url]
    done = await asyncio.to_thread(
        subprocess.run, program, capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "latin-1"}
    )
    assert (done.stdout, done.stderr) == ("café ?\n".encode("latin-1"), b"")


SERVERS = ("fastapi", "pydantic", "uvicorn", "torch", "numpy", "engine", "server")
TERMINALS = ("rich", "typer", "prompt_toolkit", "markdown_it", "matplotlib")


@pytest.mark.parametrize(
    ("missing", "module"),
    [
        (SERVERS + TERMINALS, "clients"),
        ((*SERVERS, "matplotlib"), "clients.cli, clients.chat.program, clients.bench.program"),
    ],
)
def test_what_the_clients_need(missing: tuple[str, ...], module: str) -> None:
    """The client httpx alone; the terminal's programs nothing of the server's or the engine's."""
    code = f"import sys\nfor name in {missing}: sys.modules[name] = None\nimport {module}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
