"""The attention's kernels at gpt-oss' shapes (64 heads of 64 over 8, window 128, pages of 16), and the small products
around it: their error, and their times beside the floor.

The floor of attention is the larger of reading the visible keys and values once and of its two products; that of a
linear map, of reading its weights once and of its product.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.device import Speeds, graph_seconds
from engine.config import RopeConfig
from engine.kernels import norm_linear as linear_reference
from engine.kernels import paged_attention as paged_reference
from engine.kernels import ring_attention as ring_reference
from engine.kernels.ragged import RaggedBatch
from engine.kernels.triton import norm_linear, paged_attention, ring_attention
from engine.model.rope import RotaryTable
from engine.plan import Chunk
from engine.runner.batch import build_batch

HEADS, KV_HEADS, HEAD_DIM, WINDOW, PAGE_SIZE = 64, 8, 64, 128, 16
HIDDEN, VOCABULARY = 2880, 201_088
TOKEN_BYTES = 2 * KV_HEADS * HEAD_DIM * 2
"""A token's key and value in one layer."""
KEY_OPERATIONS = 4 * HEADS * HEAD_DIM
"""Of a query with one key."""
DECODE_BATCHES = 1, 8, 32, 128, 256
CONTEXTS = 1024, 8192, 32_768, 131_072
PREFILLS = (0, 8192), (24_576, 8192)
"""Tokens in the caches, and new ones."""
LARGEST_CACHE = 24 * 2**30
COLD_BYTES = 2**28
"""What the calls of one graph read together at least, several times a GPU's level-two cache."""
MIXED_STEP = (300, 1), (0, 40), (5000, 1), (1000, 100), (17, 1)
LINEAR_TOKENS = 1, 2, 4, 8, 32, 128, 256


def make_step(chunks: Sequence[tuple[int, int]], device: torch.device) -> tuple[RaggedBatch, list[Tensor]]:
    """The batch of chunks (tokens in the caches, new tokens), its pages scattered; and q, k, v and sinks."""
    pages_of = [-(-(context + count) // PAGE_SIZE) for context, count in chunks]
    tables = torch.randperm(sum(pages_of)).split(pages_of)
    plan = [
        Chunk(str(i), (0,) * count, context, i, tuple(table.tolist()), True)
        for i, ((context, count), table) in enumerate(zip(chunks, tables, strict=True))
    ]
    rotary = RotaryTable(RopeConfig(theta=150_000.0, factor=32.0), HEAD_DIM, device)
    batch = build_batch(plan, WINDOW, PAGE_SIZE, rotary, device)
    heads = torch.randn(len(batch.token_ids), HEADS + 2 * KV_HEADS, HEAD_DIM, device=device, dtype=torch.bfloat16)
    return batch, [*heads.split((HEADS, KV_HEADS, KV_HEADS), dim=1), torch.randn(HEADS, device=device)]


def random_cache(slots: int, device: torch.device) -> Tensor:
    """Keys and values [2, slots, kv_heads, head_dim]."""
    return torch.empty((2, slots, KV_HEADS, HEAD_DIM), device=device, dtype=torch.bfloat16).normal_()


def check_attention(device: torch.device) -> Iterator[dict[str, object]]:
    """The relative error of one mixed step against the reference in float32, beside the reference's in bfloat16."""
    batch, inputs = make_step(MIXED_STEP, device)
    pages = sum(-(-(context + count) // PAGE_SIZE) for context, count in MIXED_STEP)
    ops: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], int, tuple[int, ...]]] = {
        "ring": (ring_attention.ring_attention, ring_reference.ring_attention, len(MIXED_STEP) * WINDOW, (WINDOW,)),
        "paged": (paged_attention.paged_attention, paged_reference.paged_attention, pages * PAGE_SIZE, ()),
    }
    for name, (kernel, reference, slots, window) in ops.items():
        cache = random_cache(slots, device)
        wide, plain, ours = cache.float(), cache.clone(), cache.clone()
        want = reference(*(tensor.float() for tensor in inputs), *wide, *window, batch)
        rounded = reference(*inputs, *plain, *window, batch)
        got = kernel(*inputs, *ours, *window, batch)
        yield {
            "kernel": name,
            "error": relative_error(got, want),
            "reference_error": relative_error(rounded, want),
            "cache_error": relative_error(ours, wide),
        }


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got.float() - want).norm() / want.norm())


def measure_attention(device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    for sequences in DECODE_BATCHES:
        yield measure_ring([(1024, 1)] * sequences, device, speeds)
        for context in CONTEXTS:
            if sequences * context * TOKEN_BYTES <= LARGEST_CACHE:
                yield measure_pages([(context, 1)] * sequences, device, speeds)
    for chunk in PREFILLS:
        yield measure_ring([chunk], device, speeds)
        yield measure_pages([chunk], device, speeds)


def measure_ring(chunks: Sequence[tuple[int, int]], device: torch.device, speeds: Speeds) -> dict[str, object]:
    seen = [(min(context, WINDOW - 1) + count, count * WINDOW) for context, count in chunks]
    return measure("ring", chunks, len(chunks) * WINDOW, seen, device, speeds)


def measure_pages(chunks: Sequence[tuple[int, int]], device: torch.device, speeds: Speeds) -> dict[str, object]:
    seen = [(context + count, count * context + count * (count + 1) // 2) for context, count in chunks]
    slots = sum(-(-(context + count) // PAGE_SIZE) * PAGE_SIZE for context, count in chunks)
    return measure("paged", chunks, slots, seen, device, speeds)


def measure(
    kernel: str,
    chunks: Sequence[tuple[int, int]],
    slots: int,
    seen: Sequence[tuple[int, int]],
    device: torch.device,
    speeds: Speeds,
) -> dict[str, object]:
    """One launch of a kernel over alike chunks. `seen` has, for each, the keys and the pairs of query and key."""
    batch, inputs = make_step(chunks, device)
    keys, pairs = map(sum, zip(*seen, strict=True))
    layers = max(1, min(16, COLD_BYTES // (slots * TOKEN_BYTES)))
    caches = [random_cache(slots, device) for _ in range(layers)]
    attend: Callable[..., Tensor] = paged_attention.paged_attention
    if kernel == "ring":
        attend = partial(ring_attention.ring_attention, window=WINDOW)
    calls = [partial(attend, *inputs, *cache, batch=batch) for cache in caches]
    seconds = graph_seconds(calls)
    floor = speeds.floor(keys * TOKEN_BYTES, pairs * KEY_OPERATIONS)
    context, count = chunks[0]
    shape = {"kernel": kernel, "sequences": len(chunks), "context": context, "new_tokens": count}
    return shape | figures(seconds, floor)


def figures(seconds: float, floor: float) -> dict[str, object]:
    return {"microseconds": seconds * 1e6, "floor_microseconds": floor * 1e6, "share": floor / seconds}


def measure_linear(device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """Norm + q, k, v with bias; output + residual; norm + unembedding: the kernels, and the references beside them."""
    queries = HEADS * HEAD_DIM
    for name, rows, columns in (
        ("norm_qkv", queries + 2 * KV_HEADS * HEAD_DIM, HIDDEN),
        ("out_residual", HIDDEN, queries),
        ("norm_unembed", VOCABULARY, HIDDEN),
    ):
        layers = max(1, min(16, COLD_BYTES // (2 * rows * columns)))
        weights = [0.02 * torch.randn(rows, columns, device=device).to(torch.bfloat16) for _ in range(layers)]
        gain, bias = torch.randn(columns, device=device), torch.randn(rows, device=device).to(torch.bfloat16)
        for tokens in LINEAR_TOKENS:
            x = torch.randn(tokens, columns, device=device).to(torch.bfloat16)
            residual = torch.randn(tokens, rows, device=device).to(torch.bfloat16)
            floor = speeds.floor(2 * rows * columns, 2 * tokens * rows * columns)
            for kind, module in ("triton", norm_linear), ("reference", linear_reference):
                if name == "out_residual":
                    calls = [partial(module.linear_add, x, weight, bias, residual) for weight in weights]
                else:
                    calls = [partial(module.norm_linear, x, gain, 1e-5, weight, bias) for weight in weights]
                yield {"map": name, "kind": kind, "tokens": tokens} | figures(graph_seconds(calls), floor)
