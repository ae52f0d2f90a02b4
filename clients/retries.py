"""When a failed request is sent again, and after how long."""

import random
from dataclasses import dataclass

from clients.errors import BusyError, ClientError, UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """A request is sent again only if the server cannot have begun to answer it: it was busy, or never reached.

    The n-th pause is drawn between half and all of `first_seconds * 2**(n - 1)`, which `longest_seconds` limits, so
    that many clients do not come back together. A server's Retry-After is waited for in full before the pause; if it
    exceeds `patience_seconds`, the request is not sent again.
    """

    count: int = 2
    first_seconds: float = 0.5
    longest_seconds: float = 8.0
    patience_seconds: float = 60.0

    def pause(self, failure: ClientError, failures: int) -> float | None:
        """Seconds to wait after the request has failed `failures` times; None to give up.

        >>> Retries(count=3).pause(BusyError("full", status=429, retry_after=2.0), 1) >= 2.0
        True
        """
        if failures > self.count or not isinstance(failure, BusyError | UnreachableError):
            return None
        ceiling = min(self.first_seconds * 2.0 ** min(failures - 1, 99), self.longest_seconds)
        pause = random.uniform(ceiling / 2, ceiling)
        if isinstance(failure, BusyError) and failure.retry_after is not None:
            if failure.retry_after > self.patience_seconds:
                return None
            return failure.retry_after + pause
        return pause


NO_RETRIES = Retries(count=0)
