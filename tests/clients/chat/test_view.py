import io

import pyte
import pytest
from rich.console import Console

from clients.chat import view
from clients.chat.view import View
from clients.results import Delta


class Screen(io.StringIO):
    """What is written to it, as a terminal shows it."""

    def __init__(self, columns: int, lines: int) -> None:
        super().__init__()
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1e-6)
        self._stream = pyte.Stream(self._screen)

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    def lines(self) -> list[str]:
        above = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
        return [line.strip() for line in [*above, *self._screen.display]]


def test_what_is_drawn_meanwhile_leaves_no_lines_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "FRAMES_PER_SECOND", 10_000)
    screen = Screen(40, 12)
    console = Console(file=screen, force_terminal=True, width=40, height=12)
    with View(console, unfold=False) as shown:
        for number in range(60):
            for part in (f"paragraph\n- item {number}", f".0\n- item {number}.1", "\n", "\n\n"):
                shown.feed(Delta(text=part))
        shown.end("")
    items = [line for line in screen.lines() if "item" in line]
    assert items == [f"• item {number}.{half}" for number in range(60) for half in (0, 1)]
