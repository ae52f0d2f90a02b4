"""Shows an answer on a terminal as it arrives."""

import time
from collections.abc import Generator
from contextlib import closing
from threading import Event, RLock, Thread
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from clients.chat.markdown import Blocks, split_blocks
from clients.collect import Collector
from clients.errors import ClientError
from clients.printable import printable
from clients.results import Answer, Delta, ToolCall

FRAMES_PER_SECOND = 12
REASONING_LINES = 8
"""Lines of the reasoning that are visible while it streams."""


def show(console: Console, deltas: Generator[Delta, None, None], *, unfold: bool) -> Answer:
    """Shows a stream to its end or until Ctrl-C; then the answer has no `finish_reason`. Raises ClientError."""
    collector = Collector()
    with closing(deltas), View(console, unfold=unfold) as view:
        try:
            for delta in deltas:
                collector.feed(delta)
                view.feed(delta)
        except KeyboardInterrupt:
            view.end("stopped")
        except ClientError:
            view.end("broken off")
            raise
        else:
            answer = collector.answer()
            for call in answer.tool_calls:
                view.tool_call(call)
            view.end("cut short at the token limit" if answer.choices[0].finish_reason == "length" else "")
    return collector.answer()


class View:
    """Finished blocks are printed once; only the block that still grows is redrawn, so that the screen stays calm.

    Reasoning streams dimmed, and is folded to one line when the answer begins, unless `unfold`. The view draws in its
    own thread: beside rich's thread, printing would start from the end of the previous frame and leave lines of it.
    """

    def __init__(self, console: Console, *, unfold: bool) -> None:
        self._console = console
        self._unfold = unfold
        self._began = time.monotonic()
        self._waiting = Spinner("dots", style="dim")
        self._reasoning = ""
        self._growing = ""
        self._blocks = 0
        self._live = Live(self, console=console, auto_refresh=False, transient=True)
        self._turn = RLock()
        """Held while drawing or printing."""
        self._over = Event()
        self._drawing = Thread(target=self._draw, daemon=True)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        self._drawing.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        try:
            self._drawing.join()
        finally:  # Also after a second Ctrl-C: rich allows one display at a time, and the cursor is hidden.
            self._live.stop()

    def _draw(self) -> None:
        while not self._over.wait(1 / FRAMES_PER_SECOND):
            with self._turn:
                self._live.refresh()

    def feed(self, delta: Delta) -> None:
        with self._turn:
            self._reasoning += delta.reasoning
            if delta.text or delta.tool_calls:
                self._fold()
            self._growing += printable(delta.text)
            if "\n" in delta.text:
                finished, self._growing = split_blocks(self._growing)
                self._print_blocks(finished)

    def tool_call(self, call: ToolCall) -> None:
        """Shows a complete call."""
        with self._turn:
            self._print_blocks(self._growing)
            self._growing = ""
            self._console.print(call_text(call))

    def end(self, remark: str) -> None:
        """Prints what is left, and the remark, if there is one."""
        with self._turn:
            self._fold()
            rest, self._growing = self._growing, ""
            self._print_blocks(rest)
            if remark:
                self._console.print(Text(f"({remark})", "dim italic"))

    def _fold(self) -> None:
        if not self._reasoning:
            return
        reasoning, self._reasoning = self._reasoning, ""
        if self._unfold:
            self._console.print(reasoning_text(reasoning), "", sep="\n")
        else:
            seconds = time.monotonic() - self._began
            self._console.print(Text(f"▸ thought for {seconds:.1f} s  (/reasoning shows it)", "dim"), "", sep="\n")

    def _print_blocks(self, text: str) -> None:
        if text.strip():
            if self._blocks:
                self._console.print()
            self._blocks += 1
            self._console.print(Blocks(text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The part that still grows: rich redraws it, also below text that is printed."""
        if self._growing.strip():
            yield Tail(Blocks(self._growing), self._console.height - 2, gap=self._blocks > 0)
        elif self._reasoning:
            yield Tail(reasoning_text(self._reasoning), min(REASONING_LINES, self._console.height - 2))
        else:
            yield self._waiting


class Tail:
    """The last lines of content that may be higher than the screen, after an empty line if there is a `gap`."""

    def __init__(self, content: RenderableType, lines: int, *, gap: bool = False) -> None:
        self._content = content
        self._lines = max(lines, 1)
        self._gap = gap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._content, options.update(height=None), pad=False)[-self._lines :]
        if self._gap:
            yield Segment.line()
        for line in lines:
            yield from line
            yield Segment.line()


def reasoning_text(reasoning: str) -> Text:
    return Text(printable(reasoning).strip(), "dim italic")


def call_text(call: ToolCall) -> Text:
    """The call on a line: the name, then the arguments as the model wrote them."""
    return Text.assemble(("→ ", "dim"), (printable(call.name), "bold cyan"), " ", (printable(call.arguments), "cyan"))
