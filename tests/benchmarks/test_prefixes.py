"""The script that measures the next turn of a conversation."""

import re

from benchmarks import prefixes
from engine.checkpoint.hub import EMBEDDED


def test_a_table() -> None:
    """Of the embedded model; that the turns go on from the right places, the script sees to itself."""
    *head, first, second = prefixes.measure(EMBEDDED, "cpu", (70, 150), rounds=2)
    assert len(head) == 2
    for length, line in ((70, first), (150, second)):
        assert re.fullmatch(rf"\| {length} \|( \d+ ms \|){{3}} \*\*[\d.]+\*\* \([\d.]+–[\d.]+\) \|", line), line
