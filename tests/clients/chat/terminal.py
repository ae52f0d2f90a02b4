"""`carousel chat` on a terminal: sends keys and reads the screen as a person does."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pyte

ROOT = Path(__file__).parent.parent.parent.parent
PATIENCE_SECONDS = 90
LAUNCH = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from clients.cli import main
main()
"""
ENTER, NEW_LINE, TAB = "\r", "\x1b\r", "\t"
CTRL_C, CTRL_D = "\x03", "\x04"


def text_of(screen: pyte.HistoryScreen) -> str:
    """Everything since the start, including lines that have left the screen, without trailing spaces."""
    above = ["".join(line[x].data for x in range(screen.columns)) for line in screen.history.top]
    return "\n".join(line.rstrip() for line in [*above, *screen.display])


class Terminal:
    """Use it as a context manager. Raises AssertionError if an awaited text never appears."""

    def __init__(self, *arguments: str, state: Path, columns: int = 80, lines: int = 24) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=1e-6)
        self.screen.write_process_input = self.send
        self._stream = pyte.ByteStream(self.screen)
        self._keyboard, program = pty.openpty()
        fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        exported = {"COLUMNS": "80", "LINES": "24"}  # By a shell of another size.
        environment = {**os.environ, **exported, "TERM": "xterm-256color", "XDG_STATE_HOME": str(state)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, "chat", *arguments],
            stdin=program,
            stdout=program,
            stderr=program,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        os.close(program)

    @property
    def text(self) -> str:
        return text_of(self.screen)

    def send(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def type(self, line: str) -> None:
        """Waits for the prompt, types a line, and sends it."""
        self.sees_prompt()
        self.send(line)
        self._until(lambda: not self._asks(), line)
        self.send(ENTER)

    def sees_prompt(self) -> None:
        self._until(self._asks, "the prompt")

    def _asks(self) -> bool:
        return self.text.rstrip().endswith(("\n›", "returns:"))

    def sees(self, text: str) -> None:
        self._until(lambda: text in self.text, text)

    def leaves(self) -> int:
        self._until(lambda: self.process.poll() is not None, "the end")
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._keyboard)

    def _until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what!r} did not come:\n{self.text}"
            if select.select([self._keyboard], [], [], 0.05)[0]:
                try:
                    self._stream.feed(os.read(self._keyboard, 65536))
                except OSError:
                    self.process.wait()
                    assert condition(), f"the program ended before {what!r} came:\n{self.text}"
