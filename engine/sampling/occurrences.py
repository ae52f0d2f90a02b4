"""How often each token of a sequence has come: what penalties are reckoned from."""

from collections import Counter
from collections.abc import Iterable

import numpy as np


class Occurrences:
    """`tokens` (int64) are the different tokens of prompt and answer, `counts` (float32) how often each was generated:
    those of the prompt alone count 0. Kept as the answer grows, so that a step costs no second look at what has come.

    >>> seen = Occurrences([5, 6, 5], [6])
    >>> seen.add(6), seen.add(9)
    (None, None)
    >>> seen.tokens.tolist(), seen.counts.tolist()
    ([5, 6, 9], [0.0, 2.0, 1.0])
    """

    def __init__(self, prompt: Iterable[int], generated: Iterable[int] = ()) -> None:
        counts = dict.fromkeys(prompt, 0) | Counter(generated)
        self._places = {token: place for place, token in enumerate(counts)}
        self.tokens = np.fromiter(counts.keys(), np.int64, len(counts))
        self.counts = np.fromiter(counts.values(), np.float32, len(counts))

    def add(self, token: int) -> None:
        """Counts one more generated token."""
        place = self._places.setdefault(token, len(self.tokens))
        if place == len(self.tokens):
            self.tokens = np.append(self.tokens, token)
            self.counts = np.append(self.counts, np.float32(0))
        self.counts[place] += 1
