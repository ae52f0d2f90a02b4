"""A Python program that keeps its weights between cases, in a process of its own, so that its memory is its alone."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.peers.case import Case, Measured, Setup, Speeds
from benchmarks.stopwatch import Stopwatch

ROOT = Path(__file__).parents[2]
CLOSING_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Question:
    """A line of the process's input."""

    case: Case
    seed: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A line of its output: one without speeds when it is ready, then one for each question."""

    peak_bytes: int
    speeds: Speeds | None = None


class Worker:
    """A `Contestant` that runs a module that calls `serve`."""

    def __init__(self, module: str, setup: Setup) -> None:
        """Raises RuntimeError if the process ends; the reason is on stderr."""
        watch = Stopwatch()
        command = [sys.executable, "-m", module, msgspec.json.encode(setup).decode()]
        self._module = module
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        self.peak_bytes = self._answer().peak_bytes
        self.start_seconds = watch.lap()

    def run(self, case: Case, seed: int) -> Speeds:
        """Raises RuntimeError if the process ends."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(Question(case, seed)) + b"\n")
        self._process.stdin.flush()
        answer = self._answer()
        assert answer.speeds is not None
        self.peak_bytes = answer.peak_bytes
        return answer.speeds

    def close(self) -> None:
        self._process.communicate(timeout=CLOSING_SECONDS)

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            self.close()
            raise RuntimeError(f"{self._module} ended with status {self._process.returncode}")
        return msgspec.json.decode(line, type=Answer)


def serve(make: Callable[[Setup], Measured]) -> None:
    """Answers each question until there are no more."""
    measured = make(msgspec.json.decode(sys.argv[1], type=Setup))
    answer(Answer(peak_bytes()))
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line, type=Question)
        speeds = measured.run(question.case, question.seed)
        answer(Answer(peak_bytes(), speeds))


def answer(one: Answer) -> None:
    print(msgspec.json.encode(one).decode(), flush=True)


def peak_bytes() -> int:
    """The most resident memory of this process so far. (`getrusage` begins with the memory of the parent process.)"""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
