"""The outcome of every request, and which outcomes the soak forgives."""

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic

NOTES = 10
"""How many failures are shown."""


@dataclass(slots=True)
class Tally:
    """sent = completed + aborted + rejected + errored, or a request was lost.

    An error is forgiven if the request was running while an engine was killed or its successor was loading.
    `until_caught`: the first failure ends the soak.
    """

    until_caught: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    stopped: bool = False
    last_kill_over: float = 0.0
    kill_under_way: bool = False
    kills: int = 0

    def now(self) -> float:
        return monotonic()

    def sending(self) -> float:
        self.counts["sent"] += 1
        return self.now()

    def completed(self) -> str:
        return self._end("completed")

    def aborted(self) -> str:
        return self._end("aborted")

    def rejected(self) -> str:
        return self._end("rejected")

    def errored(self, began: float, what: str) -> str:
        """`began` is when the request was sent."""
        if not self.kill_under_way and began > self.last_kill_over:
            self.wrong("unforgiven errors", what)
        return self._end("errored")

    def lost(self, what: str) -> str:
        self.wrong("lost", what)
        return "lost"

    def mismatch(self, what: str) -> None:
        self.wrong("token mismatches", what)

    def wrong(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        if len(self.notes) < NOTES:
            self.notes.append(f"{kind}: {what}")
        self.stopped = self.stopped or self.until_caught

    def _end(self, outcome: str) -> str:
        self.counts[outcome] += 1
        return outcome

    @property
    def ended(self) -> int:
        return sum(self.counts[outcome] for outcome in ("completed", "aborted", "rejected", "errored"))
