"""What is drawn, without a terminal's timing."""

import io
import pty
import termios

import pyte
import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from clients.chat import view as view_module
from clients.chat.markdown import Blocks
from clients.chat.quiet_keys import quiet_keys
from clients.chat.view import Tail, View
from clients.results import Delta
from tests.clients.chat.terminal import text_of


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
    assert drawn(Blocks("Roses are *red*,\nviolets are `blue`.")) == "Roses are red,\nviolets are blue."


def test_a_second_interruption_leaves_the_console_free(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=30, height=20, color_system=None, force_terminal=True)
    with monkeypatch.context() as twice, pytest.raises(KeyboardInterrupt), View(console, unfold=False) as view:
        join = view._drawing.join

        def interrupted() -> None:
            join()
            raise KeyboardInterrupt

        twice.setattr(view._drawing, "join", interrupted)
    assert "\x1b[?25h" in console.file.getvalue(), "the cursor is seen again"
    with View(console, unfold=False) as view:
        view.end("")


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


def test_what_is_drawn_meanwhile_leaves_no_lines_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "FRAMES_PER_SECOND", 10_000)
    screen = Screen(40, 12)
    console = Console(file=screen, force_terminal=True, width=40, height=12)
    with View(console, unfold=False) as view:
        for number in range(60):
            for part in (f"paragraph\n- item {number}", f".0\n- item {number}.1", "\n", "\n\n"):
                view.feed(Delta(text=part))
        view.end("")
    items = [line.strip() for line in text_of(screen.shown).splitlines() if "item" in line]
    assert items == [f"• item {number}.{half}" for number in range(60) for half in (0, 1)]


class Screen(io.StringIO):
    """What is written to it, as a terminal shows it."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__()
        self.shown = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1e-6)
        self._stream = pyte.Stream(self.shown)

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)
