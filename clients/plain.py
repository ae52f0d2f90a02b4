"""Answers as plain text on standard output, for pipes and scripts."""

import sys
from collections.abc import Iterable

from clients.collect import Collector
from clients.printable import printable
from clients.results import Answer, Delta


def write(deltas: Iterable[Delta]) -> Answer:
    """Writes an answer as it arrives, without its reasoning, then its tool calls, one per line.

    The output ends with a line break.
    """
    shown = printable if sys.stdout.isatty() else str
    collector = Collector()
    for delta in deltas:
        collector.feed(delta)
        sys.stdout.write(shown(delta.text))
        sys.stdout.flush()
    answer = collector.answer()
    lines = [shown(f"{call.name} {call.arguments}") + "\n" for call in answer.tool_calls]
    sys.stdout.write("\n" if answer.text or not lines else "")
    sys.stdout.writelines(lines)
    sys.stdout.flush()
    return answer
