"""Reads the log of `carousel serve` in a process of its own until the server is ready."""

import re
import subprocess


def read_until_ready(process: subprocess.Popen[str], model: str = "embedded") -> tuple[str, list[str]]:
    """The server's address, and its stderr's lines so far. Raises AssertionError if the server ends first."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if ready := re.search(rf"is ready: {re.escape(model)} at (http://127\.0\.0\.1:\d+)\b", line):
            return ready[1], lines
    raise AssertionError("".join(lines))
