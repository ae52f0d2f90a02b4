"""`carousel serve`, started and stopped."""

import re
import signal
import subprocess
import sys

from typer.testing import CliRunner

from clients.client import Carousel
from server.cli import app

SERVE = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--port", "0"]
SMALL = ["--dtype", "float32", "--device", "cpu", "--max-model-len", "256", "--max-num-seqs", "2"]


def test_serve_until_told_to_stop() -> None:
    with subprocess.Popen([*SERVE, *SMALL], stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if ready := re.search(r"is ready: embedded at (http://127\.0\.0\.1:\d+)$", line):
                break
        else:
            raise AssertionError("".join(lines))
        assert any("2 slots" in line for line in lines), "the memory plan is printed"
        with Carousel(ready[1]) as client:
            assert client.complete("Once upon a time", max_tokens=8).usage.completion_tokens <= 8
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


def test_an_engine_that_cannot_start_ends_the_server() -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "0", "--kv-cache-memory-bytes", "1K"])
    assert result.exit_code == 1
    assert result.stderr.startswith("carousel: ")
    assert "KV cache" in result.stderr
