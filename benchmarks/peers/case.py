"""What is measured of every program, and what a program must be able to do for it."""

from dataclasses import dataclass
from typing import Protocol

from engine.config import Quantization


@dataclass(frozen=True, slots=True)
class Case:
    """`streams` prompts of `prompt` random tokens are read, then `written` tokens of each are written, all at once."""

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
    """Tokens a second of all streams together: read, and written."""

    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Setup:
    """What a program is started with: the checkpoint's directory; at most so many streams, of so many tokens each."""

    checkpoint: str
    threads: int
    streams: int
    length: int
    quantization: Quantization = "none"


class Measured(Protocol):
    """A program with the checkpoint."""

    def run(self, case: Case, seed: int) -> Speeds:
        """Runs a case once; `seed` chooses the tokens."""
        ...


class Contestant(Measured, Protocol):
    """A program in a process of its own. `start_seconds` are from the start of the process to where it can be asked,
    the files in the page cache; `peak_bytes` is the most memory that was resident up to now."""

    start_seconds: float
    peak_bytes: int

    def close(self) -> None:
        """Ends it."""
        ...
