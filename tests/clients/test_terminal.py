"""The terminal clients as transcripts: what is typed, what is seen."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import clients.chat
from clients.results import Delta
from clients.terminal import show
from server.cli import app as command
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
TURN = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"


async def carousel(*arguments: str, typed: str = "") -> Any:
    return await asyncio.to_thread(CliRunner().invoke, command, arguments, input=typed)


async def test_complete(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("world :smile: [red]😀", per_step=2)
    result = await carousel(
        "complete", "Hello", "--url", url, "--temperature", "0", "--max-tokens", "50", "--stop", "x"
    )
    assert (result.exit_code, result.stdout) == (0, "world :smile: [red]😀\n")
    sampling = engine.submitted[0].sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.stop) == (0, 50, ("x",))


async def test_piped_chat_answers_line_by_line(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(f"{TURN}Answer {len(engine.submitted)}")
    result = await carousel("chat", "--url", url, "--system", "Be brief.", typed="one\n\n two \n")
    assert (result.exit_code, result.stdout) == (0, "Answer 1\nAnswer 2\n")
    prompt = bytes(token for token in engine.submitted[1].prompt_token_ids if token < 256).decode()
    assert "Be brief." in prompt
    assert prompt.endswith("useroneassistantfinalAnswer 1usertwoassistant")
    assert engine.submitted[1].sampling.temperature == 1.0, "what was not given is the server's to choose"


async def test_a_failure_is_one_line_on_stderr(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("ab", error="the forward pass failed")
    result = await carousel("chat", "--url", url, typed="one\ntwo\n")
    assert (result.exit_code, result.stderr) == (1, "carousel: the forward pass failed\n")
    result = await carousel("complete", "x", "--url", url, "--temperature", "9")
    assert result.exit_code == 1
    assert result.stderr.startswith("carousel: temperature must be")


@pytest.mark.parametrize("terminal", [True, False])
def test_reasoning_is_dimmed_on_a_terminal_and_left_out_of_a_pipe(
    terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(force_terminal=terminal, color_system="standard" if terminal else None)
    deltas = [Delta(), Delta(reasoning="Hm,"), Delta(reasoning=" so."), Delta(text="It"), Delta(text=" is.")]
    assert show(console, deltas) == "It is."
    dim, off = "\x1b[2m", "\x1b[0m"
    seen = f"{dim}Hm,{off}{dim} so.{off}\n\nIt is.\n" if terminal else "It is.\n"
    assert capsys.readouterr().out == seen


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    closed = []

    def deltas() -> Any:
        try:
            yield Delta(text="Once ")
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    assert show(Console(force_terminal=True), deltas()) == "Once "
    assert capsys.readouterr().out == "Once \n"
    assert closed
    with pytest.raises(KeyboardInterrupt):
        show(Console(force_terminal=False), deltas())


def test_on_a_terminal_a_failed_question_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    class Failing:
        def stream_chat(self, messages: list, **options: Any) -> Any:
            asked.append([message["content"] for message in messages])
            if len(asked) == 1:
                raise clients.chat.ClientError("no [b] room")
            return iter([Delta(text="yes")])

    console = Console(force_terminal=True, color_system=None)
    monkeypatch.setattr(clients.chat, "Console", lambda: console)
    monkeypatch.setattr(clients.chat, "questions", lambda console: iter(["one", "two"]))
    clients.chat.chat(Failing(), {})
    assert asked == [["one"], ["two"]]
    assert capsys.readouterr().out == "no [b] room\nyes\n"
