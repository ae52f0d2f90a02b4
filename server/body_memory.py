"""A limit on the memory for the bodies of all requests."""

from dataclasses import dataclass

from engine.errors import QueueFullError


@dataclass(slots=True)
class BodyMemory:
    """The bytes of all bodies, from their arrival until their requests are answered."""

    limit: int
    held: int = 0

    def take(self, size: int) -> None:
        """Counts `size` more bytes. Raises QueueFullError, and counts nothing, if that exceeds the limit."""
        if self.held + size > self.limit:
            raise QueueFullError(f"the bodies of running requests fill the limit of {self.limit} bytes")
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size


@dataclass(slots=True)
class HeldBody:
    """The bytes that one request holds. `goes_on`: the request continues after its HTTP response, and then gives the
    bytes back itself."""

    memory: BodyMemory
    size: int = 0
    goes_on: bool = False

    def take(self, size: int) -> None:
        """Holds `size` more bytes. Raises QueueFullError."""
        self.memory.take(size)
        self.size += size

    def give_back(self) -> None:
        self.memory.give_back(self.size)
        self.size = 0
