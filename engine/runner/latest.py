"""The tokens that the last launch samples: the device knows them before the host does."""

import numpy as np
import torch
from torch import Tensor

from engine.sampling.rows import Coming
from engine.transfer import numbers_to_device


class Latest:
    """The last launch's tokens, by request. Two of them, in another order, in a batch of four rows:

    >>> latest, token_ids = Latest(), torch.tensor([1, 2, 3, 4], dtype=torch.int32)
    >>> latest.note(["a", "b"], torch.tensor([-1, 9]))
    >>> feed(token_ids, latest.of([0, 3], ["b", "a"]))
    >>> token_ids.tolist()
    [9, 2, 3, 0]
    """

    def __init__(self) -> None:
        self._request_ids: list[str] = []
        self._tokens: Tensor | None = None

    def note(self, request_ids: list[str], tokens: Tensor | None) -> None:
        """`tokens` are int64 [requests]."""
        self._request_ids, self._tokens = request_ids, tokens

    def of(self, rows: list[int], request_ids: list[str]) -> Coming | None:
        """The tokens of these requests, for these rows of a batch; None if there are none."""
        if not rows:
            return None
        assert self._tokens is not None
        if request_ids == self._request_ids:  # As long as all keep decoding.
            return Coming(rows, self._tokens)
        places = {request_id: place for place, request_id in enumerate(self._request_ids)}
        at = numbers_to_device([places[each] for each in request_ids], np.int64, self._tokens.device)
        return Coming(rows, self._tokens[at])


def feed(token_ids: Tensor, coming: Coming) -> None:
    """Writes tokens to come into their rows of int32 [tokens]. A row whose logits were not finite has no token, and
    gets token 0: its request ends when the host reads the result."""
    tokens = coming.tokens.clamp(min=0)
    if len(coming.rows) == len(token_ids):
        token_ids.copy_(tokens)
    else:
        at = numbers_to_device(coming.rows, np.int64, token_ids.device)
        token_ids.index_copy_(0, at, tokens.to(torch.int32))
