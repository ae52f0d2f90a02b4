"""How much of all requests' bodies is held at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import QueueFullError


@dataclass(slots=True)
class BodyMemory:
    """Bytes of bodies, counted from their arrival until their requests have been answered."""

    limit: int
    held: int = 0

    def take(self, size: int) -> None:
        """Raises QueueFullError, and takes nothing, if that is too much."""
        if self.held + size > self.limit:
            raise QueueFullError(f"the bodies of the requests that are being answered fill {self.limit} bytes")
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Counts a body for as long as a block takes. Raises QueueFullError."""
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)
