"""Seconds between moments."""

from time import perf_counter


class Stopwatch:
    """Runs from its creation."""

    def __init__(self) -> None:
        self._since = perf_counter()

    def lap(self) -> float:
        """Seconds since its creation or the last lap."""
        now = perf_counter()
        lap, self._since = now - self._since, now
        return lap
