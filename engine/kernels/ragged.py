"""The batch of one step: flat tokens of many sequences, without padding.

Sequence s has the rows `starts[s] … starts[s + 1] − 1` of every `[tokens, …]` tensor; `contexts[s]` of its tokens are
in the caches already. A decoding sequence has one row, a prompt's chunk any number. With window 4, pages of 4, and
tiles of 16 tokens:

    sequences        A decodes at position 5        B reads positions 2 … 7
                     ring 1, pages 4 and 6          ring 0, pages 3 and 1
    rows             0                              1  2  3  4  5  6
    positions        5                              2  3  4  5  6  7
    ring slots       4 + 1                          –  –  0  1  2  3        B's first two rows never enter
    page slots       6·4 + 1                        14 15 4  5  6  7
    starts           0, 1, 7
    contexts         5, 2
    decode_sequences 0                              the sequences of one row
    prefill_tiles    (1, 0)                         B in one tile that starts at its row 0

Everything here is built once a step and read by every layer.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

TILE_TOKENS = 16
"""Tokens of a prompt's chunk that a kernel attends together. With the 8 query heads that share a kv head they make
128 rows for the tensor cores, and 16 + 127 keys of a 128-token window, few of them masked."""
ALIGNMENT = 4
"""Kernels are compiled for tensors that begin at multiples of 16 bytes, four int32, and once more for others."""


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """The position of each token of a step, and where its keys and values go.

    `cos` and `sin` are float32 [tokens, head_dim / 2]. A cache slot is an index into a layer's cache flattened to
    `[slots, kv_heads, head_dim]`. `ring_reads(s)` and `page_reads(s)` are the slots of sequence s's past, oldest
    first: the last `window − 1` positions, and all of them; they are computed on first use, because kernels find them
    by themselves. `ring_write_rows` are the rows that enter a ring (the last `window` of each chunk),
    `ring_write_slots` the slots that they enter; `page_write_slots` has one slot for every row.

    For kernels, on the device as int32: `start_rows` and `context_lengths` are `starts` and `contexts`;
    `ring_slots[s]` is a sequence's ring, whose first cache slot is ring · window; `block_tables` [sequences, most
    pages] holds each sequence's pages, zeros after them. `decode_sequences` are the sequences of one row; every other
    sequence is cut into `prefill_tiles` [tiles, 2], pairs of a sequence and the tile's first row in its chunk. A
    negative decode sequence is an unused place in a captured graph: it is skipped, and its rows stay as they are. (Such
    a batch lacks everything that is on the host.) `row_sequences` [tokens] are given if rows may be padding: a padding
    row's is negative, and no expert is chosen for it.
    """

    token_ids: Tensor
    positions: Tensor
    cos: Tensor
    sin: Tensor
    starts: tuple[int, ...]
    contexts: tuple[int, ...]
    page_size: int
    start_rows: Tensor
    context_lengths: Tensor
    ring_slots: Tensor
    block_tables: Tensor
    decode_sequences: Tensor
    prefill_tiles: Tensor
    ring_reads: Callable[[int], Tensor]
    ring_write_rows: Tensor
    ring_write_slots: Tensor
    page_reads: Callable[[int], Tensor]
    page_write_slots: Tensor
    row_sequences: Tensor | None = None
