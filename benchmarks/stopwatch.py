"""Seconds between moments."""

from time import perf_counter


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._since = perf_counter()

    def lap(self) -> float:
        """Seconds since it was made, or since the last lap."""
        now = perf_counter()
        lap, self._since = now - self._since, now
        return lap
