"""Documents gathered into batches of about equal length, padded at the end.

Every document begins at position 0 and sees nothing of another, as a served conversation does. A pool of documents
is sorted by length and cut into batches of at most so many tokens, padding included:

    at most 6 tokens; documents A AA AAA AAAA  →  A. AA | AAA | AAAA    (. is padding, never learnt)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.corpus import Document

POOL = 1_024
"""Documents sorted together: enough that a batch's are of one length, few enough that its lengths are mixed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`tokens` int64 [B, T]; `learnt` bool of the same shape: is this token to be predicted?"""

    tokens: Tensor
    learnt: Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """Documents end to end: document i is `tokens[starts[i] : starts[i + 1]]`, `learnt` likewise."""

    tokens: Tensor
    learnt: Tensor
    starts: Tensor

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self) -> Tensor:
        return self.starts.diff()

    def batch(self, documents: Sequence[int]) -> Batch:
        spans = [slice(int(self.starts[i]), int(self.starts[i + 1])) for i in documents]
        tokens = [self.tokens[span].long() for span in spans]
        learnt = [self.learnt[span] for span in spans]
        pad = torch.nn.utils.rnn.pad_sequence
        return Batch(pad(tokens, batch_first=True), pad(learnt, batch_first=True))


def encode(documents: Iterable[Document], tokenizer: Tokenizer, longest: int) -> Encoded:
    """Documents beyond `longest` tokens are left out."""
    tokens: list[int] = []
    learnt: list[bool] = []
    starts = [0]
    for document in documents:
        parts = tokenizer.encode_batch_fast([text for text, _ in document.parts])
        if sum(len(part.ids) for part in parts) > longest:
            continue
        for part, (_, is_learnt) in zip(parts, document.parts, strict=True):
            tokens += part.ids
            learnt += [is_learnt] * len(part.ids)
        starts.append(len(tokens))
    return Encoded(torch.tensor(tokens, dtype=torch.int32), torch.tensor(learnt), torch.tensor(starts))


def gather(lengths: Sequence[int], order: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """The documents of each batch. A document longer than `batch_tokens` is a batch by itself.

    >>> gather([1, 3, 4, 2], [0, 1, 2, 3], batch_tokens=6)
    [[0, 3], [1], [2]]
    """
    batches: list[list[int]] = []
    for start in range(0, len(order), POOL):
        batch: list[int] = []
        for document in sorted(order[start : start + POOL], key=lambda i: lengths[i]):
            if batch and (len(batch) + 1) * lengths[document] > batch_tokens:
                batches.append(batch)
                batch = []
            batch.append(document)
        batches.append(batch)
    return batches
