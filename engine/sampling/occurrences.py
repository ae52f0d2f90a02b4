"""How often each token of a sequence has occurred: penalties are computed from this."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Occurrences:
    """`tokens` (int64) are the distinct tokens of prompt and answer, `counts` (float32) how often each was generated: 0
    for those of the prompt alone. Updated as the answer grows, so that no step counts the sequence again.

    >>> seen = Occurrences([5, 6, 5], [6])
    >>> seen.add(6), seen.add(9)
    (None, None)
    >>> seen.tokens.tolist(), seen.counts.tolist()
    ([5, 6, 9], [0.0, 2.0, 1.0])
    """

    def __init__(self, prompt: Iterable[int], generated: Iterable[int] = ()) -> None:
        counts = dict.fromkeys(prompt, 0) | Counter(generated)
        self._places = {token: place for place, token in enumerate(counts)}
        self._tokens = np.fromiter(counts.keys(), np.int64, len(counts))
        self._counts = np.fromiter(counts.values(), np.float32, len(counts))

    @property
    def tokens(self) -> NDArray[np.int64]:
        return self._tokens[: len(self._places)]

    @property
    def counts(self) -> NDArray[np.float32]:
        return self._counts[: len(self._places)]

    def add(self, token: int) -> None:
        """Counts one more generated token."""
        place = self._places.get(token)
        if place is None:
            place = self._places[token] = len(self._places)
            if place == len(self._tokens):  # Doubled, so that growing costs little per token.
                self._tokens, self._counts = np.resize(self._tokens, 2 * place), np.resize(self._counts, 2 * place)
            self._tokens[place], self._counts[place] = token, 0
        self._counts[place] += 1
