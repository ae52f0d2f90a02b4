"""Gathers documents of about equal length into batches, padded at the end.

Every document begins at position 0 and sees no other document, as a served conversation does. Documents whose lengths
round up to the same length form a batch of that length, so that batches have few different sizes:

    at most 96 tokens; documents of 30, 70, 31, 66 and 40  →  70 (as 80) | 66 (as 80) | 30 31 (as 32) | 40 (as 48)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.corpus import Document

SHORTEST = 16


def rounded(length: int) -> int:
    """Rounds up to a multiple of 16, and above 128 to a multiple of an eighth to a quarter of the length.

    >>> [rounded(length) for length in (5, 100, 129, 300, 1025)]
    [16, 112, 160, 320, 1280]
    """
    step = max(SHORTEST, 1 << max(0, length.bit_length() - 3))
    return -(-length // step) * step


@dataclass(frozen=True, slots=True)
class Batch:
    """`tokens` int64 [B, T]; `learnt` bool of the same shape: whether the model learns to predict the token."""

    tokens: Tensor
    learnt: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.tokens.to(device), self.learnt.to(device))


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
        """A batch one token longer than the rounded length: the last token is only predicted."""
        lengths = [int(self.starts[i + 1] - self.starts[i]) for i in documents]
        width = rounded(max(lengths) - 1) + 1
        tokens = torch.zeros(len(documents), width, dtype=torch.int64)
        learnt = torch.zeros(len(documents), width, dtype=torch.bool)
        for row, (i, length) in enumerate(zip(documents, lengths, strict=True)):
            tokens[row, :length] = self.tokens[self.starts[i] : self.starts[i + 1]]
            learnt[row, :length] = self.learnt[self.starts[i] : self.starts[i + 1]]
        return Batch(tokens, learnt)


def encode(documents: Iterable[Document], tokenizer: Tokenizer, longest: int) -> Encoded:
    """Leaves out documents of more than `longest` tokens."""
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


def gather(lengths: Sequence[int], order: Iterable[int], batch_tokens: int) -> list[list[int]]:
    """The documents of each batch. A document longer than `batch_tokens` is a batch of its own.

    >>> gather([31, 71, 32, 67, 41], range(5), batch_tokens=96)
    [[1], [3], [0, 2], [4]]
    """
    batches: list[list[int]] = []
    open_batches: dict[int, list[int]] = {}
    for document in order:
        width = rounded(lengths[document] - 1)
        batch = open_batches.setdefault(width, [])
        batch.append(document)
        if (len(batch) + 1) * width > batch_tokens:
            batches.append(open_batches.pop(width))
    return batches + list(open_batches.values())
