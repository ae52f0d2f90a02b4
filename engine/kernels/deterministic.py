"""Ops whose rows do not depend on their neighbours: the same bits alone, in any batch, in chunks of any size.

A matrix product chooses its kernel, and with it the order in which a row is summed, by its number of rows; a vectorised
function rounds differently in its loop and in the remainder at its end. So every shape is fixed here: rows go through
the reference ops in tiles of TILE, the last one filled up with zeros, and keys are attended in blocks that begin at
fixed positions. Besides its own numbers, a row then depends only on its tile's shape, which is always the same.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional

from engine.kernels.fp8_matrix import Fp8Matrix, linear
from engine.kernels.norm_linear import rms_norm

Op = TypeVar("Op", bound=Callable[..., Any])

TILE = 8
"""Rows of a tile. More make prompts faster, but answers slower when few requests run. At 8, the widest vectors of a
gpt-oss model's tile stay below the size that torch splits among threads (32,768 numbers)."""
KEY_BLOCK = 64
"""Keys attended together."""


def in_tiles(op: Op) -> Op:
    """Runs an op on rows (its first argument and its results) tile by tile.

    >>> shapes = []
    >>> double = in_tiles(lambda x: shapes.append(len(x)) or 2 * x)
    >>> double(torch.arange(10.0)[:, None])[:, 0].tolist(), shapes
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0], [8, 8])
    """

    def tiled(x: Tensor, *rest: Any) -> Tensor | tuple[Tensor, ...]:
        parts = [op(tile, *rest) for tile in tiles(x)]
        if isinstance(parts[0], Tensor):
            return torch.cat(parts)[: len(x)]
        return tuple(torch.cat(each)[: len(x)] for each in zip(*parts, strict=True))

    return cast(Op, tiled)


def tiles(x: Tensor) -> tuple[Tensor, ...]:
    """[rows, …] → tiles of [TILE, …], zeros at the end of the last one; there is at least one."""
    filled: Tensor = functional.pad(x, (0, 0) * (x.dim() - 1) + (0, -len(x) % TILE if len(x) else TILE))
    return filled.contiguous().view(-1, TILE, *x.shape[1:]).unbind()


def norm_linear_in_tiles(
    x: Tensor, norm: Tensor, eps: float, weight: Tensor | Fp8Matrix, bias: Tensor | None
) -> Tensor:
    """`norm_linear`: a matrix in fp8 is widened once, not for every tile."""
    return linear(in_tiles(rms_norm)(x, norm, eps), weight, bias, in_tiles(functional.linear))


def linear_add_in_tiles(x: Tensor, weight: Tensor | Fp8Matrix, bias: Tensor, residual: Tensor) -> Tensor:
    """`linear_add`: the addition needs no tiles, because a sum of two numbers has no order."""
    return residual + linear(x, weight, bias, in_tiles(functional.linear))


def attend_in_blocks(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None, start: int) -> Tensor:
    """`engine.kernels.attention.attend`, its softmax accumulated block by block of keys, in float32.

    Blocks begin at multiples of KEY_BLOCK, wherever a chunk or a ring begins. A block in which a query sees no key
    leaves its sums as they are, bit for bit (they are multiplied by exp(0) and gain zeros), so it does not matter
    which blocks its neighbours need.
    """
    queries, heads, head_dim = q.shape
    kv_heads, stop = k.shape[1], start + len(q)
    first_block = (stop - len(k)) // KEY_BLOCK
    before = stop - len(k) - first_block * KEY_BLOCK
    keys, values = key_blocks(k, before).transpose(2, 3).contiguous(), key_blocks(v, before)
    out = []
    for at, tile in zip(range(start, stop, TILE), tiles(q), strict=True):
        rows = tile.float().view(TILE, kv_heads, -1, head_dim).transpose(0, 1).reshape(kv_heads, -1, head_dim)
        positions = torch.arange(at, at + TILE, device=q.device).repeat_interleave(heads // kv_heads)[:, None]
        seen_from = 0 if window is None else max(0, at - window + 1)
        needed = range(max(first_block, seen_from // KEY_BLOCK), (min(at + TILE, stop) - 1) // KEY_BLOCK + 1)
        blocks = [(block * KEY_BLOCK, keys[block - first_block], values[block - first_block]) for block in needed]
        mixed = attend_tile(rows * head_dim**-0.5, positions, blocks, sinks, window)
        out.append(mixed.view(kv_heads, TILE, -1, head_dim).transpose(0, 1).reshape(TILE, heads, head_dim))
    return torch.cat(out)[:queries].to(q.dtype)


def attend_tile(
    q: Tensor,
    positions: Tensor,
    blocks: Iterable[tuple[int, Tensor, Tensor]],
    sinks: Tensor,
    window: int | None,
) -> Tensor:
    """q float32 [kv_heads, rows, head_dim], scaled, each row one head of a query; `positions` [rows, 1] → like q.

    A block is its first position, keys [kv_heads, head_dim, KEY_BLOCK] and values [kv_heads, KEY_BLOCK, head_dim].
    The running maximum begins at the sink, which counts in the sum and has no value.
    """
    kv_heads, rows, _ = q.shape
    top = sinks.float().view(kv_heads, 1, -1).expand(-1, TILE, -1).reshape(kv_heads, rows, 1)
    total, mixed = torch.ones_like(top), torch.zeros_like(q)
    for first, keys, values in blocks:
        at = torch.arange(first, first + KEY_BLOCK, device=q.device)
        hidden = at > positions
        if window is not None:
            hidden |= at <= positions - window
        scores = (q @ keys).masked_fill(hidden, -torch.inf)
        higher = torch.maximum(top, scores.amax(dim=-1, keepdim=True))
        decay, weights = torch.exp(top - higher), torch.exp(scores - higher)
        total = total * decay + weights.sum(dim=-1, keepdim=True)
        mixed = mixed * decay + weights @ values
        top = higher
    return mixed / total


def key_blocks(x: Tensor, before: int) -> Tensor:
    """[keys, kv_heads, head_dim] → float32 [blocks, kv_heads, KEY_BLOCK, head_dim], zeros in the `before` places in
    front and at the end."""
    after = -(before + len(x)) % KEY_BLOCK
    filled: Tensor = functional.pad(x.float(), (0, 0, 0, 0, before, after))
    return filled.view(-1, KEY_BLOCK, *x.shape[1:]).transpose(1, 2).contiguous()
