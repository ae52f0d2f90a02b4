"""The batch of one step: flat tokens of many sequences, without padding.

Sequence s brings the rows `starts[s] … starts[s + 1] − 1` of every `[tokens, …]` tensor; `contexts[s]` tokens of it
are in the caches already. A decoding sequence brings one row, a prompt's chunk any number:

    sequences    A decodes at position 5      B reads positions 8, 9, 10
    rows         0                            1  2  3
    positions    5                            8  9  10
    starts       0, 1, 4
    contexts     5, 8

Everything here is built once a step and read by every layer.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """Where each token of a step stands, and where its keys and values go.

    `cos` and `sin` are float32 [tokens, head_dim / 2]. A cache slot is an index into a layer's cache flattened to
    `[slots, kv_heads, head_dim]`. `ring_reads[s]` and `page_reads[s]` are the slots of sequence s's past, oldest
    first: the last `window − 1` positions, and all of them. `ring_write_rows` are the rows that enter a ring (the
    last `window` of each chunk), `ring_write_slots` where; `page_write_slots` has one slot for every row.
    """

    token_ids: Tensor
    positions: Tensor
    cos: Tensor
    sin: Tensor
    starts: tuple[int, ...]
    contexts: tuple[int, ...]
    ring_reads: tuple[Tensor, ...]
    ring_write_rows: Tensor
    ring_write_slots: Tensor
    page_reads: tuple[Tensor, ...]
    page_write_slots: Tensor
