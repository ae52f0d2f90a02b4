"""The cases that every program runs, and the interface of a program."""

from dataclasses import dataclass
from typing import Protocol

from engine.config import Quantization


@dataclass(frozen=True, slots=True)
class Case:
    """Reads `streams` prompts of `prompt` random tokens, then writes `written` tokens for each, all at once."""

    streams: int
    prompt: int
    written: int

    @property
    def name(self) -> str:
        """
        >>> Case(8, 128, 32).name
        '8 x 128'
        """
        return f"{self.streams} x {self.prompt}"


@dataclass(frozen=True, slots=True)
class Speeds:
    """Tokens a second that all streams together read, and write."""

    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Setup:
    """What a program is started with: the checkpoint's directory, the most streams, and the most tokens of each."""

    checkpoint: str
    threads: int
    streams: int
    length: int
    quantization: Quantization = "none"


class Measured(Protocol):
    """A program that has loaded the checkpoint."""

    def run(self, case: Case, seed: int) -> Speeds:
        """Runs a case once; `seed` chooses the tokens."""
        ...


class Contestant(Measured, Protocol):
    """A program in a process of its own. `start_seconds` is the time from the start of the process until it is ready,
    with the files in the page cache; `peak_bytes` is the most resident memory so far."""

    start_seconds: float
    peak_bytes: int

    def close(self) -> None:
        """Ends the process."""
        ...
