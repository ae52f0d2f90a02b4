"""What the /commands do to a conversation."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from clients.chat.commands import COMMANDS, run_command, transcript
from clients.chat.conversation import Conversation
from clients.chat.interactive import Interactive
from clients.chat.program import greet
from clients.errors import BusyError, UsageError
from clients.results import Delta, Model, ToolCallDelta

Run = Callable[[str], str]


class Scripted:
    """A client that answers with what stands in `answers`, and keeps what it was asked."""

    url = "http://localhost"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[list[str | None], dict[str, Any]]] = []

    def stream_chat(self, messages: list[Any], **options: Any) -> Iterator[Delta]:
        self.asked.append(([message["content"] for message in messages], options))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield from [*answer, Delta(finish_reason="stop")]

    def models(self) -> list[Model]:
        return [Model(id="one"), Model(id="two")]


@pytest.fixture
def client() -> Scripted:
    return Scripted(*([Delta(reasoning=f"thought {i}"), Delta(text=f"answer {i}")] for i in range(5)))


@pytest.fixture
def chat(client: Scripted) -> Interactive:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    return Interactive(console, Conversation(client, {}), lambda prompt: f"typed at {prompt}")


@pytest.fixture
def run(chat: Interactive) -> Run:
    """Types a line, and returns what is printed."""

    def run(line: str) -> str:
        before = len(chat.console.file.getvalue())
        if not run_command(chat, line):
            chat.ask(line)
        return chat.console.file.getvalue()[before:]

    return run


def test_help_names_every_command(run: Run) -> None:
    printed = run("/help")
    assert all(f"/{name}" in printed for name in COMMANDS)
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_settings_go_with_the_next_question(run: Run, client: Scripted) -> None:
    assert run("/set") == "nothing is set: the server's defaults apply\n"
    run("/set temperature=0.25")
    assert run("/set stop=END") == 'temperature = 0.25\nstop = "END"\n'
    run("/system Be brief.")
    run("/model two")
    run("one")
    run("/set temperature=")
    run("/system -")
    run("two")
    assert client.asked == [
        (["Be brief.", "one"], {"temperature": 0.25, "stop": "END", "model": "two"}),
        (["one", "answer 0", "two"], {"stop": "END", "model": "two"}),
    ]


def test_models(run: Run) -> None:
    assert run("/model") == "• one\n  two\n"
    assert run("/model two") == "  one\n• two\n"


def test_retry_and_clear(run: Run, client: Scripted) -> None:
    with pytest.raises(UsageError, match="no question"):
        run("/retry")
    run("one")
    assert "answer 1" in run("/retry")
    run("/clear")
    run("two")
    assert [asked for asked, _ in client.asked] == [["one"], ["one"], ["two"]]
    run("/clear")
    with pytest.raises(UsageError):
        run("/retry")


def test_a_question_that_failed_is_forgotten_and_can_be_asked_again(run: Run, client: Scripted) -> None:
    client.answers.insert(0, BusyError("full", status=429))
    with pytest.raises(BusyError):
        run("one")
    run("/retry")
    assert [asked for asked, _ in client.asked] == [["one"], ["one"]]


def test_a_retry_that_fails_takes_nothing_back(run: Run, client: Scripted) -> None:
    run("one")
    client.answers.insert(0, BusyError("full", status=429))
    with pytest.raises(BusyError):
        run("/retry")
    run("two")
    assert client.asked[-1][0] == ["one", "answer 0", "two"]
    run("/retry")
    assert client.asked[-1][0] == ["one", "answer 0", "two"]


def test_a_retry_takes_back_no_earlier_question_of_the_same_words(run: Run, client: Scripted) -> None:
    for line in ("one", "go on", "and then?"):
        run(line)
    client.answers.insert(0, BusyError("full", status=429))
    with pytest.raises(BusyError):
        run("go on")
    run("/retry")
    kept = ["one", "answer 0", "go on", "answer 1", "and then?", "answer 2", "go on"]
    assert client.asked[-1][0] == kept
    run("/retry")
    assert client.asked[-1][0] == kept


def test_reasoning(run: Run) -> None:
    assert "thought 0" not in run("one")
    assert run("/reasoning") == "thought 0\nreasoning is shown\n"
    assert "thought 1\n\nanswer 1" in run("two")
    assert run("/reasoning") == "reasoning is folded\n"
    assert "thought 2" not in run("three")


def test_tool_results_are_asked_for(run: Run, client: Scripted) -> None:
    call = ToolCallDelta(index=0, id="c", name="look", arguments="{}")
    client.answers.insert(0, [Delta(reasoning="Hm."), Delta(tool_calls=(call,))])
    printed = run("one")
    assert "→ look {}" in printed
    assert client.asked[1][0] == ["one", None, "typed at look returns: "]


def test_save(run: Run, chat: Interactive, tmp_path: Path) -> None:
    run("/system Be brief.")
    run("one")
    assert "saved 3 messages" in run(f"/save {tmp_path}/chat.json")
    assert json.loads((tmp_path / "chat.json").read_text()) == chat.conversation.all_messages
    run(f"/save {tmp_path}/chat.md")
    text = (tmp_path / "chat.md").read_text()
    assert text == "## system\n\nBe brief.\n\n## user\n\none\n\n## assistant\n\nanswer 0\n"
    for line in ("/save", f"/save {tmp_path}/no/such/folder", "/save ~nobody-here/chat.md", "/save a\0b"):
        with pytest.raises(UsageError):
            run(line)


def test_a_transcript_has_the_calls() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    assert transcript(messages) == "## assistant\n\n`look` `{}`\n"


@pytest.mark.parametrize("line", ["/", "/etc/hosts", "what is /help", "1/2"])
def test_questions_with_a_slash(run: Run, client: Scripted, line: str) -> None:
    run(line)
    assert client.asked[0][0] == [line]


@pytest.mark.parametrize(
    "line", ["/nonsense", *(f"/set {a}" for a in ("temperature", "=1", "a b=1", "messages=[]", "self=1"))]
)
def test_mistakes(run: Run, line: str) -> None:
    with pytest.raises(UsageError):
        run(line)


def test_exit(run: Run) -> None:
    with pytest.raises(EOFError):
        run("/exit")


def test_a_models_name_cannot_steer_the_terminal(chat: Interactive, client: Scripted, run: Run) -> None:
    client.models = lambda: [Model(id="one\x1b[2J")]
    greet(chat)
    assert "one�[2J at" in chat.console.file.getvalue()
    assert run("/model") == "• one�[2J\n"
