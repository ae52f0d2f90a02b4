"""The chat as a person uses it: a real terminal, a real server, a scripted model."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from engine.request import FinishReason
from tests.clients.chat.terminal import CTRL_C, CTRL_D, ENTER, NEW_LINE, TAB, Terminal
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
THOUGHT = "<|channel|>analysis<|message|>Let me see.<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>"
CALL = '<|channel|>commentary to=functions.weather json<|message|>{"city": "Paris"}<|call|>'
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def asked(engine: ScriptedEngine, at: int = -1) -> str:
    return bytes(token for token in engine.submitted[at].prompt_token_ids if token < 256).decode()


async def test_a_conversation(url: str, engine: ScriptedEngine, say: Say, tmp_path: Path) -> None:
    answers = iter(
        [
            say(f"{THOUGHT}{FINAL}# Title\n\nSome *text* and `code`:\n\n```python\nx = 1\n```\n\n- one\n- two <b>\n"),
            say(f"{THOUGHT}{FINAL}Second."),
            say(f"{THOUGHT}{FINAL}Third."),
            say(f"{FINAL}Fourth \x1b[2J."),
        ]
    )
    engine.play = lambda request: next(answers)

    def scenario() -> None:
        with Terminal("--url", url, "--system", "Be brief.", state=tmp_path) as terminal:
            terminal.sees(f"tiny at {url}")
            terminal.type("What is *this*?")
            terminal.sees("• two <b>")
            terminal.sees_prompt()
            assert "▸ thought for" in terminal.text
            assert "Let me see." not in terminal.text
            assert "```" not in terminal.text
            assert "*text*" not in terminal.text
            assert terminal.text.count("x = 1") == 1
            terminal.type("/reasoning")
            terminal.sees("Let me see.\nreasoning is shown")
            terminal.sees_prompt()
            terminal.send(f"two{NEW_LINE}lines\\{ENTER}more{ENTER}")
            terminal.sees("› two\n  lines\n  more\n")
            terminal.sees("Let me see.\n\nSecond.")
            terminal.type("/set temperature=0.5")
            terminal.sees("temperature = 0.5")
            terminal.type("/retry")
            terminal.sees("Third.")
            terminal.type("/clear")
            terminal.type("/etc/hosts?")
            terminal.sees("Fourth �[2J.")
            terminal.type(f"/save {tmp_path}/chat.json")
            terminal.sees("saved 3 messages")
            terminal.type("/nonsense")
            terminal.sees("there is no /nonsense")
            terminal.sees_prompt()
            terminal.send(CTRL_D)
            assert terminal.leaves() == 0
        with Terminal("--url", url, state=tmp_path) as terminal:
            terminal.sees_prompt()
            terminal.send("\x1b[A\x1b[A\x1b[A")
            terminal.sees("› /etc/hosts?")
            terminal.send(CTRL_C)
            terminal.sees_prompt()
            terminal.send("/ex" + TAB)
            terminal.sees("› /exit")
            terminal.send(ENTER)
            assert terminal.leaves() == 0

    await asyncio.to_thread(scenario)
    saved = json.loads((tmp_path / "chat.json").read_text())
    assert [message["content"] for message in saved] == ["Be brief.", "/etc/hosts?", "Fourth \x1b[2J."]
    assert "Be brief." in asked(engine, 0)
    assert "usertwo\nlines\nmoreassistant" in asked(engine, 1)
    assert asked(engine, 2) == asked(engine, 1), "asked again as before"
    assert engine.submitted[2].sampling.temperature == 0.5
    assert asked(engine, 3).endswith("user/etc/hosts?assistant")
    assert "Second" not in asked(engine, 3)


async def test_ctrl_c_stops_the_answer_and_not_the_program(
    url: str, engine: ScriptedEngine, say: Say, eventually: Eventually, tmp_path: Path
) -> None:
    answers = iter(
        [
            say(f"{FINAL}Once upon a time", hangs=True),
            say("<|channel|>analysis<|message|>Let me", hangs=True),
            say(f"{FINAL}Half an ans", error="the forward pass failed"),
            say(f"{FINAL}Good bye."),
        ]
    )
    engine.play = lambda request: next(answers)

    def scenario() -> None:
        with Terminal("--url", url, state=tmp_path) as terminal:
            terminal.type("a story")
            terminal.sees("Once upon a time")
            terminal.send("early" + CTRL_C)
            terminal.sees("Once upon a time\n(stopped)\n\n›")
            assert terminal.text.count("Once upon") == 1
            assert "^C" not in terminal.text
            terminal.type("another")
            terminal.sees("Let me")
            terminal.send(CTRL_C)
            terminal.sees("▸ thought for")
            terminal.sees("(stopped)\n\n›")
            terminal.type("a third")
            terminal.sees("Half an ans\n(broken off)\nthe forward pass failed")
            terminal.type("bye")
            terminal.sees("Good bye.")
            terminal.type("/exit")
            assert terminal.leaves() == 0

    await asyncio.to_thread(scenario)
    await eventually(lambda: engine.running == 0)
    assert len(engine.aborted) >= 2
    said = asked(engine)
    assert said.endswith("usera storyassistantfinalOnce upon a timeuserbyeassistant"), "what got no answer is forgotten"


def terminal_with_tools(url: str, state: Path) -> Terminal:
    tools = state / "tools.json"
    tools.write_text(json.dumps(TOOLS))
    return Terminal("--url", url, "--tools", str(tools), state=state)


async def test_tools(url: str, engine: ScriptedEngine, say: Say, tmp_path: Path) -> None:
    answers = iter([say(THOUGHT + CALL), say(f"{FINAL}Take an umbrella.")])
    engine.play = lambda request: next(answers)

    def scenario() -> None:
        with terminal_with_tools(url, tmp_path) as terminal:
            terminal.type("weather?")
            terminal.sees('→ weather {"city": "Paris"}')
            terminal.sees("weather returns:")
            terminal.type("rain")
            terminal.sees("Take an umbrella.")
            terminal.sees_prompt()
            terminal.send(CTRL_D)
            assert terminal.leaves() == 0

    await asyncio.to_thread(scenario)
    assert "Let me see." in asked(engine), "the reasoning goes along with the call"


async def test_nobody_is_asked_for_the_result_of_a_call_that_was_cut_off(
    url: str, engine: ScriptedEngine, say: Say, tmp_path: Path
) -> None:
    cut_off = CALL.partition('"Paris')[0]
    answers = iter([say(THOUGHT + cut_off, finish=FinishReason.LENGTH), say(f"{FINAL}Sorry.")])
    engine.play = lambda request: next(answers)

    def scenario() -> None:
        with terminal_with_tools(url, tmp_path) as terminal:
            terminal.type("weather?")
            terminal.sees("cut short at the token limit")
            terminal.sees_prompt()
            terminal.type("well?")
            terminal.sees("Sorry.")
            terminal.sees_prompt()
            assert "returns:" not in terminal.text
            terminal.send(CTRL_D)
            assert terminal.leaves() == 0

    await asyncio.to_thread(scenario)
    assert "the call was cut off" in asked(engine)


async def test_an_answer_higher_than_the_screen(url: str, engine: ScriptedEngine, say: Say, tmp_path: Path) -> None:
    listing = "".join(f"- item {i}\n" for i in range(60))
    engine.play = lambda request: say(f"{FINAL}{listing}\nThe end.", per_step=7)
    engine.gate = lambda: asyncio.ensure_future(asyncio.sleep(0.02))  # Time for frames of a part of the list.

    def scenario() -> None:
        with Terminal("--url", url, state=tmp_path, columns=40, lines=12) as terminal:
            terminal.type("count")
            terminal.sees("The end.")
            terminal.sees_prompt()
            lines = [line.strip() for line in terminal.text.splitlines() if "item" in line]
            assert lines == [f"• item {i}" for i in range(60)]

    await asyncio.to_thread(scenario)
