"""Documents packed into sequences of one length.

Every sequence begins with a document's first token, because that is what a served model reads at position 0.
Documents follow one another until the sequence is full; what the last one has too much is cut off.

    length 4, documents ABC, DE, FGHIJ, K  →  ABCD | FGHI | K...    (. is padding, never learnt)

A sequence holds `length` + 1 tokens, since each position predicts the next one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.corpus import Document


@dataclass(frozen=True, slots=True)
class Sequences:
    """`tokens` int64 [S, length + 1]; `learnt` bool of the same shape: is this token to be predicted?"""

    tokens: Tensor
    learnt: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, index: Tensor | slice) -> "Sequences":
        return Sequences(self.tokens[index], self.learnt[index])


def encode(documents: Iterable[Document], tokenizer: Tokenizer) -> list[tuple[list[int], list[bool]]]:
    """Each document's token ids, and for each token whether it belongs to the completion."""
    texts = list(documents)
    prompts = tokenizer.encode_batch_fast([document.prompt for document in texts])
    completions = tokenizer.encode_batch_fast([document.completion for document in texts])
    return [
        (prompt.ids + completion.ids, [False] * len(prompt.ids) + [True] * len(completion.ids))
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def pack(encoded: Iterable[tuple[list[int], list[bool]]], length: int) -> Sequences:
    """See the module's example: with `length` 3, ABCD | FGHI | K... is exactly what comes out."""
    width = length + 1
    rows: list[tuple[list[int], list[bool]]] = []
    tokens: list[int] = []
    learnt: list[bool] = []
    for ids, is_learnt in encoded:
        tokens = tokens + ids
        learnt = learnt + is_learnt
        if len(tokens) >= width:
            rows.append((tokens[:width], learnt[:width]))
            tokens, learnt = [], []
    if tokens:
        missing = width - len(tokens)
        rows.append((tokens + [0] * missing, learnt + [False] * missing))
    return Sequences(torch.tensor([row[0] for row in rows]), torch.tensor([row[1] for row in rows]))
