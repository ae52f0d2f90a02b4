"""The engine process of the soak: `python -m tests.soak.worker MODEL BUG AUDIT FD`.

It is the product's, but its books are audited after every step (each imbalance is a line in the file AUDIT), the hash
model may replace the real one, and a bug may be planted (`none`: no bug).
"""

import sys
from pathlib import Path
from typing import Any

from engine.engine import Engine
from engine.process import worker
from engine.request import TokenEvent
from engine.start import Started, start_engine
from tests.soak.audit import leaks
from tests.soak.hash_model import use_hash_model
from tests.soak.planted import PLANTED

MOST_LINES = 10


def audited(engine: Engine, audit: Path) -> None:
    """Audits the books after every step."""
    step, lines = engine.step, 0

    def stepping() -> list[TokenEvent]:
        nonlocal lines
        events = step()
        if (found := leaks(engine)) and lines < MOST_LINES:
            lines += 1
            with audit.open("a") as file:
                file.write(f"{found}\n")
        return events

    engine.step = stepping  # type: ignore[method-assign]


def main(model: str, bug: str, audit: str, descriptor: str) -> int:
    def start(*arguments: Any) -> Started:
        started = start_engine(*arguments)
        if model == "hash":
            use_hash_model(started.engine)
        if bug != "none":
            PLANTED[bug](started.engine)
        audited(started.engine, Path(audit))
        return started

    worker.start_engine = start
    return worker.main(int(descriptor))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
