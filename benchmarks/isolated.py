"""Runs parts of a benchmark in their own processes, so that a part that fails or hangs costs only itself: after some
errors a process can compute nothing more on its GPU."""

import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from signal import SIGKILL
from threading import Timer
from time import monotonic
from typing import TypedDict

from benchmarks import BEGAN

GRACE_SECONDS = 15
"""Extra time before a part is killed, in which it can still record what it had no time for."""

Record = dict[str, object]


class Result(TypedDict):
    """The content of the result file."""

    commit: str
    smoke: bool
    minutes: float
    parts: dict[str, list[Record]]


def run_parts(
    names: Sequence[str],
    limits: Mapping[str, float],
    minutes: float,
    records_within: Callable[[str, float], Iterator[Record]],
    *,
    commit: str,
    smoke: bool,
    output: Path | None,
) -> tuple[Result, int]:
    """Runs parts until the time is over, each within its share and the last within all the time left. Writes the file
    after every record. Returns the records, and how many failed."""
    began, failed = monotonic(), 0
    limits = shares({name: limits[name] for name in names}, 60 * minutes - GRACE_SECONDS)
    result: Result = {"commit": commit, "smoke": smoke, "minutes": 0.0, "parts": {}}
    for name in names:
        records = result["parts"][name] = []
        left = 60 * minutes - (monotonic() - began) - GRACE_SECONDS
        if left < 0:
            records.append({"left_out": f"{minutes:.3g} minutes are over"})
            continue
        for record in records_within(name, left if name == names[-1] else min(limits[name], left)):
            records.append(record)
            failed += "failed" in record
            print(name, json.dumps(record), flush=True)
            result["minutes"] = round((monotonic() - began) / 60, 2)
            write(result, output)
    write(result, output)
    return result, failed


def shares(limits: Mapping[str, float], seconds: float) -> dict[str, float]:
    """The limits, in seconds; if their sum exceeds `seconds`, all are shortened alike.

    >>> shares({"errors": 30, "times": 60}, 60), shares({"times": 60}, 90)
    ({'errors': 20.0, 'times': 40.0}, {'times': 60.0})
    """
    scale = min(1.0, max(0.0, seconds) / sum(limits.values()))
    return {name: limit * scale for name, limit in limits.items()}


def records_of(module: str, arguments: Sequence[str], seconds: float) -> Iterator[Record]:
    """The records of `python -m module ARGUMENTS --until MOMENT`, as they arrive. The moment is of the monotonic clock,
    which all processes share, so a process's seconds include its start."""
    command = [sys.executable, "-m", module, *arguments, "--until", str(monotonic() + seconds)]
    return printed_by(command, seconds + GRACE_SECONDS)


def side_by_side(what: str, sources: Mapping[str, Iterator[Record]]) -> Iterator[Record]:
    """The records of several processes, as they come, each with the name of its source under `what`."""
    found: SimpleQueue[Record | None] = SimpleQueue()

    def drain(name: str) -> None:
        try:
            for record in sources[name]:
                found.put({what: name} | record)
        finally:
            found.put(None)

    with ThreadPoolExecutor(len(sources)) as pool:
        draining = [pool.submit(drain, name) for name in sources]
        for _ in draining:
            yield from iter(found.get, None)
        for each in draining:
            each.result()


def minutes_left(minutes: float) -> float:
    """What is left of `minutes` since this process began, including the import of torch, which a cold disk slows."""
    return minutes - (monotonic() - BEGAN) / 60


def seconds_until(moment: float | None) -> float:
    """Seconds from now to a moment of the monotonic clock, or a minute if there is none."""
    return 60.0 if moment is None else moment - monotonic()


def printed_by(command: Sequence[str], seconds: float) -> Generator[Record, None, None]:
    """Yields the JSON objects that a command prints, one per line, as they arrive; other lines are ignored. If the
    command dies or its time is over, the last record says so. If the caller stops reading, the command is killed."""
    began = monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        assert process.stdout is not None
        ending = Timer(seconds, process.kill)
        ending.start()
        try:
            for line in process.stdout:
                if (record := parse(line)) is not None:
                    yield record
            process.wait()
        finally:
            ending.cancel()
            process.kill()
    if process.returncode == -SIGKILL and monotonic() - began >= seconds:
        yield {"left_out": f"what follows: ended after {seconds:.0f} seconds"}
    elif process.returncode:
        yield {"failed": f"exit status {process.returncode}"}


def parse(line: str) -> Record | None:
    """The JSON object in a line, or None."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def within(seconds: float, records: Iterator[Record], **what: object) -> Iterator[Record]:
    """Yields records until their time is over, then one that says so. An exception becomes a record. `what` is added to
    each."""
    began = monotonic()
    try:
        for record in records:
            yield what | record
            if monotonic() - began > seconds:
                yield what | {"left_out": f"what follows: {seconds:.0f} seconds are over"}
                return
    except Exception as error:  # A failure is a result, and the rest can still run.
        traceback.print_exc()
        yield what | {"failed": f"{type(error).__name__}: {error}"}


def write(result: Result, output: Path | None) -> None:
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(result, indent=1) + "\n")
