"""`carousel serve` as an operator runs it: a process, its log, its signals."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread
from time import monotonic, sleep

import httpx

SERVE = [sys.executable, "-c", "from server.cli import main; main()", "serve"]
SMALL = [
    "--dtype", "float32", "--device", "cpu", "--max-model-len", "1024", "--max-num-seqs", "4",
    "--log-format", "json", "--port", "0",
]  # fmt: skip
WAIT_SECONDS = 90


@dataclass(slots=True)
class Served:
    """`lines` are the log's lines that have been read so far."""

    process: subprocess.Popen[str]
    written: Queue[str | None]
    lines: list[dict] = field(default_factory=list)

    def wait_for(self, event: str) -> dict:
        """Waits for the log's next line of this event."""
        while (line := self.written.get(timeout=WAIT_SECONDS)) is not None:
            assert line.startswith("{"), line
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]
        raise AssertionError(f"it ended without {event}: {self.lines}")

    def rest(self) -> list[dict]:
        """Waits until the server has ended. Returns the log from here to its end."""
        rest = []
        while (line := self.written.get(timeout=WAIT_SECONDS)) is not None:
            rest.append(json.loads(line))
        self.lines += rest
        return rest

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def engine(self) -> int:
        """The engine's process id."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        (worker,) = [int(pid) for pid in children if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return worker


@contextmanager
def served(model: Path | str, *flags: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """Yields at once, while the server loads, and kills the server at the end if need be."""
    with subprocess.Popen(
        [*SERVE, str(model), *SMALL, *flags], stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    ) as process:
        server = Served(process, Queue())

        def read() -> None:
            assert process.stderr is not None
            for line in process.stderr:
                server.written.put(line)
            server.written.put(None)

        Thread(target=read, daemon=True).start()
        try:
            yield server
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def url_in(line: dict) -> str:
    found = re.search(r"http://\S+", line["message"])
    assert found is not None, line
    return found[0]


def gone(pid: int) -> bool:
    """Whether a process has ended or is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until_gone(*pids: int, seconds: float) -> None:
    end = monotonic() + seconds
    while not all(map(gone, pids)):
        assert monotonic() < end, f"after {seconds} seconds {[pid for pid in pids if not gone(pid)]} are there"
        sleep(0.01)


def until(http: httpx.Client, path: str, status: int) -> httpx.Response:
    """Asks until the answer has the given status."""
    end = monotonic() + WAIT_SECONDS
    while (response := http.get(path)).status_code != status:
        assert monotonic() < end, response.text
        sleep(0.01)
    return response
