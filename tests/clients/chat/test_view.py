"""What is drawn, without a terminal's timing."""

import io
import pty
import termios

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from clients.chat.markdown import Answer
from clients.chat.quiet_keys import quiet_keys
from clients.chat.view import Tail, View
from clients.results import Delta


def drawn(content: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=30, color_system=None)
    console.print(content)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_only_the_end_of_what_is_too_high() -> None:
    text = Text("\n".join("abcdef"))
    assert drawn(Tail(text, 2)) == "e\nf"
    assert drawn(Tail(text, 2, gap=True)) == "\ne\nf"
    assert drawn(Tail(text, 9)) == "a\nb\nc\nd\ne\nf"
    assert drawn(Tail(text, -3)) == "f", "on a screen without room, too"


def test_what_is_printed_is_drawn_no_more() -> None:
    console = Console(file=io.StringIO(), width=30, height=20, color_system=None, force_terminal=True)
    with View(console, unfold=False) as view:
        view.feed(Delta(text="one\n"))
        assert drawn(view) == "one"
        view.feed(Delta(text="\ntwo\n"))
        assert drawn(view) == "\ntwo"
        view.end("")
        assert "two" not in drawn(view)


def test_line_breaks_are_line_breaks() -> None:
    assert drawn(Answer("Roses are *red*,\nviolets are `blue`.")) == "Roses are red,\nviolets are blue."


def test_keys_are_quiet_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, program = pty.openpty()
    with open(keyboard, "rb"), open(program) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        before = termios.tcgetattr(program)
        assert before[3] & termios.ECHO
        with pytest.raises(KeyboardInterrupt), quiet_keys():
            meanwhile = termios.tcgetattr(program)
            assert not meanwhile[3] & termios.ECHO
            assert not meanwhile[0] & termios.ICRNL, "Enter arrives as Enter at the next prompt"
            assert meanwhile[3] & termios.ISIG, "Ctrl-C still stops"
            raise KeyboardInterrupt
        assert termios.tcgetattr(program) == before
