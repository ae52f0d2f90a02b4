"""Tensors side by side in one piece of memory, each beginning at a cache line."""

import torch
from torch import Tensor

LINE = 64
"""Bytes of a cache line."""
BLOCK_BYTES = 1 << 20


def whole_lines(tensor: Tensor) -> int:
    """The bytes of the cache lines that a tensor takes."""
    return -(-tensor.nbytes // LINE) * LINE


class Arena:
    """Memory for tensors on the CPU, in blocks of `block_bytes` or, for a larger tensor, its own size. After `reset`,
    tensors are placed from the start again.

    >>> arena = Arena()
    >>> first, second = arena.like(torch.empty(3)), arena.like(torch.empty(2, 4, device="meta"))
    >>> second.data_ptr() - first.data_ptr(), second.shape
    (64, torch.Size([2, 4]))
    """

    def __init__(self, block_bytes: int = BLOCK_BYTES) -> None:
        self._block_bytes = block_bytes
        self._blocks: list[Tensor] = []
        self.reset()

    @property
    def nbytes(self) -> int:
        return sum(block.nbytes for block in self._blocks)

    def reset(self) -> None:
        self._block = self._used = 0

    def like(self, tensor: Tensor) -> Tensor:
        """A tensor of the same shape and dtype, contiguous, beginning at a cache line; the content is undefined."""
        size = whole_lines(tensor)
        while self._block < len(self._blocks) and self._used + size > self._blocks[self._block].nbytes:
            self._block, self._used = self._block + 1, 0
        if self._block == len(self._blocks):
            self._blocks.append(torch.empty(max(size, self._block_bytes), dtype=torch.uint8))
        start, self._used = self._used, self._used + size
        return self._blocks[self._block][start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
