"""When an engine counts as hung, and when the next one starts: numbers and arithmetic."""

import math
from dataclasses import dataclass

from engine.errors import ConfigError
from engine.plan import LONG_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """An engine with work counts as hung if it finishes no step in `stall_seconds`: steps are bounded in tokens, so a
    long prompt takes many of them. A CPU gets more time for a long step: `patience`. A loading engine reports each
    percent, and counts as hung if it is silent for `silence_seconds`.

    The first restart comes at once, each further one after a pause that doubles up to `longest_pause` seconds;
    after `max_restarts` the engine is given up. An engine that was ready for `stable_seconds` clears the count.
    Raises ConfigError.
    """

    stall_seconds: float = 120.0
    silence_seconds: float = 600.0
    max_restarts: int = 20
    longest_pause: float = 5.0
    stable_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.stall_seconds < math.inf:
            raise ConfigError(f"--stall-timeout must be positive, got {self.stall_seconds:g}")
        if self.max_restarts < 0:
            raise ConfigError(f"--max-engine-restarts must not be negative, got {self.max_restarts}")

    def patience(self, tokens: int) -> float:
        """Seconds that a CPU gets for a step with this much `engine.plan.work`.

        >>> [Supervision().patience(tokens) for tokens in (0, 512, 2048)]
        [120.0, 120.0, 480.0]
        """
        return self.stall_seconds * max(1.0, tokens / LONG_RUN)

    def pause(self, restart: int) -> float:
        """Seconds before the n-th restart in a row, counted from 1.

        >>> [Supervision().pause(restart) for restart in (1, 2, 3, 4, 5, 1000)]
        [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
        """
        return 0.0 if restart == 1 else min(self.longest_pause, 2.0 ** min(restart - 2, 30))
