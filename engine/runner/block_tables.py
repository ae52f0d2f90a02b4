"""The block tables that graphs read: on the device, a row per sequence of a batch, as wide as the longest can be.

Little changes from step to step, and only the changes are sent. When a sequence ends, the ones after it move up a row:
the device has their pages already, and copies them. Of three, in rings 2, 0 and 7, the first ends, and the last grows:

    row 0    ring 2    4 6          ring 0    5 1 9        copied from row 1
    row 1    ring 0    5 1 9        ring 7    3 8          3 copied from row 2, 8 sent
    row 2    ring 7    3                      3            stays, and is not read
"""

from collections.abc import Sequence

import numpy as np
import torch

from engine.transfer import numbers_to_device


class BlockTables:
    """`rows` are int32 [most, longest], `longest` in pages. Entries beside and below the tables are not read."""

    def __init__(self, most: int, longest: int, device: torch.device) -> None:
        self.rows = torch.zeros(most, longest, dtype=torch.int32, device=device)
        self._tables: list[tuple[int, ...]] = [()] * most
        self._rings = [-1] * most
        """The table in each row, and the ring of its sequence."""

    def turn(self, rings: Sequence[int], tables: Sequence[tuple[int, ...]]) -> None:
        """Sets the first rows to the `tables` of the sequences in these rings; the host does not wait."""
        changed = [row for row, table in enumerate(tables) if self._tables[row] is not table]
        if not changed:
            return
        stay = self._rings[: len(rings)] == [*rings]
        places = {} if stay else {ring: row for row, ring in reversed([*enumerate(self._rings)])}
        moved, starts, counts, pages = list[tuple[int, int]](), list[int](), list[int](), list[int]()
        for row in changed:
            table = tables[row]
            kept = pages_kept(self._tables[row], table)
            if not kept and (place := places.get(rings[row])) is not None:
                kept = pages_kept(self._tables[place], table)
                moved += [(place, row)] if kept else []
            starts.append(row * self.rows.shape[1] + kept)
            counts.append(len(table) - kept)
            pages += table[kept:]
        try:
            if moved:
                self._move(moved)
            if pages:
                self._write(starts, counts, pages)
        except Exception:  # Which of them reached the device is not known.
            self._tables, self._rings = [()] * len(self._tables), [-1] * len(self._rings)
            raise
        for row in changed:
            self._tables[row], self._rings[row] = tables[row], rings[row]

    def _move(self, moved: Sequence[tuple[int, int]]) -> None:
        """Copies rows, given as pairs (from, to), all at once."""
        width = max(len(self._tables[place]) for place, _ in moved)
        places, to = numbers_to_device(moved, np.int64, self.rows.device).unbind(1)
        self.rows[:, :width].index_copy_(0, to, self.rows[places, :width])

    def _write(self, starts: Sequence[int], counts: Sequence[int], pages: Sequence[int]) -> None:
        """Writes runs of `pages`, of these `counts`, at these `starts` in the flattened rows."""
        before = np.cumsum(counts) - counts
        at = np.repeat(starts - before, counts) + np.arange(len(pages))
        places, numbers = numbers_to_device(np.stack((at, pages)), np.int64, self.rows.device)
        self.rows.view(-1).index_copy_(0, places, numbers.to(torch.int32))


def pages_kept(known: tuple[int, ...], table: tuple[int, ...]) -> int:
    """How many of a row's pages stay when another table replaces them: all of them if the sequence grew, else none.

    >>> pages_kept((4, 6), (4, 6, 9)), pages_kept((4, 6, 9), (4, 7))
    (2, 0)
    """
    return len(known) if table[: len(known)] == known else 0
