"""How long requests hold their slots, and so how long a request refused for lack of room would have to wait."""

from collections import deque
from collections.abc import Callable
from math import ceil
from time import monotonic

RECENT_REQUESTS = 64
LEAST_SECONDS, MOST_SECONDS = 1, 60
"""Clients wait whole seconds, and OpenAI's ignore more than 60."""


class Pace:
    """Follows every request through an engine; `clock` is in seconds.

    It counts the time from a request's turn to its end, however it ended, for the last RECENT_REQUESTS.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, float] = {}
        self._running: dict[str, float] = {}
        self._held: deque[float] = deque(maxlen=RECENT_REQUESTS)

    def submit(self, request_id: str) -> None:
        self._waiting[request_id] = self._clock()

    def begin(self, request_id: str, queue_seconds: float) -> None:
        """Called when a request has begun, `queue_seconds` after it was submitted."""
        if (submitted := self._waiting.pop(request_id, None)) is not None:
            self._running[request_id] = submitted + queue_seconds

    def end(self, request_id: str) -> None:
        self._waiting.pop(request_id, None)
        if (began := self._running.pop(request_id, None)) is not None:
            self._held.append(self._clock() - began)

    def retry_seconds(self, slots: int) -> int:
        """Seconds until a request at the end of the queue would have its turn: the number of queued requests, itself
        included, times the mean of the recent times, over `slots` that run at once. LEAST_SECONDS while none are known.

        With 8 slots, 16 requests in the queue and 12 s a request it is 17 · 12 / 8 s.
        """
        if not self._held:
            return LEAST_SECONDS
        queue = max(0, len(self._waiting) + len(self._running) - slots) + 1
        mean = sum(self._held) / len(self._held)
        return min(MOST_SECONDS, max(LEAST_SECONDS, ceil(queue * mean / slots)))
