"""How much of all requests' bodies is held at once."""

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


@dataclass(slots=True)
class HeldBody:
    """What is counted for one request. `goes_on`: not only until its HTTP response was sent; whoever goes on will give
    it back."""

    memory: BodyMemory
    size: int = 0
    goes_on: bool = False

    def take(self, size: int) -> None:
        """Counts more. Raises QueueFullError."""
        self.memory.take(size)
        self.size += size

    def give_back(self) -> None:
        self.memory.give_back(self.size)
        self.size = 0
