"""The attention kernels over bfloat16 and fp8 caches, and the linear maps around them with bfloat16 and fp8 weights:
their errors, and their times beside the floor.

Attention's floor is the larger of the times of reading the visible keys and values once and of its two products. A
linear map's floor is the larger of the times of reading its weights once and of its product.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.device import Speeds, attempt, cold_copies, differing, relative_error, timed
from benchmarks.shapes import Shapes, spread_tokens
from engine.kernels import norm_linear as linear_reference
from engine.kernels import paged_attention as paged_reference
from engine.kernels import ring_attention as ring_reference
from engine.kernels.fp8_matrix import Fp8Matrix, quantize
from engine.kernels.ragged import RaggedBatch
from engine.kernels.triton import norm_linear, paged_attention, ring_attention
from engine.model.rope import RotaryTable
from engine.model.weights import TORCH_DTYPES
from engine.plan import Chunk
from engine.runner.batch import build_batch

LARGEST_CACHE = 24 * 2**30


def narrow_dtypes(shapes: Shapes) -> dict[str, torch.dtype]:
    """The dtypes in which caches and weights are kept."""
    return {shapes.dtype: TORCH_DTYPES[shapes.dtype], "fp8": torch.float8_e4m3fn}


def pages_of(shapes: Shapes, chunks: Sequence[tuple[int, int]]) -> list[int]:
    return [-(-(context + count) // shapes.page_size) for context, count in chunks]


def make_batch(shapes: Shapes, chunks: Sequence[tuple[int, int]], device: torch.device) -> RaggedBatch:
    """A batch of chunks (tokens in the caches, new tokens) with scattered pages. Each chunk has its own tokens, because
    equal tokens would go to the same experts."""
    counts = pages_of(shapes, chunks)
    tables = torch.randperm(sum(counts)).split(counts)
    plan = [
        Chunk(str(i), spread_tokens(i, count, shapes.model.vocab_size), context, i, tuple(table.tolist()), True)
        for i, ((context, count), table) in enumerate(zip(chunks, tables, strict=True))
    ]
    rotary = RotaryTable(shapes.model.rope, shapes.model.head_dim, device)
    return build_batch(plan, shapes.model.window, shapes.page_size, rotary, device)


def random_heads(shapes: Shapes, tokens: int, device: torch.device) -> list[Tensor]:
    """q, k, v and sinks."""
    heads, kv_heads = shapes.model.num_heads, shapes.model.num_kv_heads
    fused = torch.randn(
        tokens, heads + 2 * kv_heads, shapes.model.head_dim, device=device, dtype=TORCH_DTYPES[shapes.dtype]
    )
    return [*fused.split((heads, kv_heads, kv_heads), dim=1), torch.randn(heads, device=device)]


def random_cache(shapes: Shapes, slots: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Keys and values [2, slots, kv_heads, head_dim]."""
    cache = torch.empty((2, slots, shapes.model.num_kv_heads, shapes.model.head_dim), device=device, dtype=dtype)
    for part in cache.flatten(0, 1).split(2**20):
        part.copy_(torch.randn(part.shape, device=device))
    return cache


def on_a_copy(attend: Callable[..., Tensor], inputs: Sequence[Tensor], cache: Tensor, *rest: object) -> Tensor:
    """Attention over a copy of the cache, because it writes to the cache."""
    return attend(*inputs, *cache.clone(), *rest)


def check_attention(shapes: Shapes, device: torch.device, _: Speeds) -> Iterator[dict[str, object]]:
    """The relative error of one mixed step against the reference in float32 over the same cache, beside the reference's
    in bfloat16; the error of the cache that they leave; and how many repetitions differ."""
    batch, window = make_batch(shapes, shapes.mixed_step, device), shapes.model.window
    inputs = random_heads(shapes, len(batch.token_ids), device)
    pages = sum(pages_of(shapes, shapes.mixed_step))
    ops: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], int, tuple[int, ...]]] = {
        "ring": (
            ring_attention.ring_attention, ring_reference.ring_attention, len(shapes.mixed_step) * window, (window,)
        ),
        "paged": (paged_attention.paged_attention, paged_reference.paged_attention, pages * shapes.page_size, ()),
    }  # fmt: skip

    def check(
        kernel: Callable[..., Tensor],
        reference: Callable[..., Tensor],
        slots: int,
        extra: tuple[int, ...],
        dtype: torch.dtype,
    ) -> dict[str, object]:
        exact = random_cache(shapes, slots, dtype, device)
        wide = exact.clone() if dtype == torch.float8_e4m3fn else exact.float()
        want = reference(*(tensor.float() for tensor in inputs), *wide, *extra, batch)
        plain, ours = exact.clone(), exact.clone()
        rounded = reference(*inputs, *plain, *extra, batch)
        got = kernel(*inputs, *ours, *extra, batch)
        again = partial(on_a_copy, kernel, inputs, exact, *extra, batch)
        return {
            "error": relative_error(got, want),
            "reference_error": relative_error(rounded, want),
            "cache_error": relative_error(ours, wide),
            "differ": differing(again, got, shapes.repeats),
        }

    for name, op in ops.items():
        for kind, dtype in narrow_dtypes(shapes).items():
            yield from attempt({"kernel": name, "cache": kind}, partial(check, *op, dtype))


def measure_attention(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    model = shapes.model

    def time_chunks(kernel: str, kind: str, chunks: Sequence[tuple[int, int]]) -> Iterator[dict[str, object]]:
        measure = measure_ring if kernel == "ring" else measure_pages
        (context, count), (shortest, _) = chunks[0], chunks[-1]
        asked: dict[str, object] = {"cache": kind, "kernel": kernel, "sequences": len(chunks), "context": context}
        asked |= {"shortest_context": shortest} if shortest < context else {}
        measured = partial(measure, shapes, chunks, narrow_dtypes(shapes)[kind], device, speeds)
        return attempt(asked | {"new_tokens": count}, measured)

    for kind, dtype in narrow_dtypes(shapes).items():
        token_bytes = 2 * model.num_kv_heads * model.head_dim * dtype.itemsize
        for sequences in shapes.decode_batches:
            yield from time_chunks("ring", kind, [(model.window, 1)] * sequences)
            for context in shapes.contexts:
                if sequences * context * token_bytes <= LARGEST_CACHE:
                    yield from time_chunks("paged", kind, [(context, 1)] * sequences)
        yield from time_chunks("paged", kind, [(context, 1) for context in shapes.uneven_contexts])
        for chunk in shapes.prefills:
            yield from time_chunks("ring", kind, [chunk])
            yield from time_chunks("paged", kind, [chunk])


def measure_ring(
    shapes: Shapes, chunks: Sequence[tuple[int, int]], dtype: torch.dtype, device: torch.device, speeds: Speeds
) -> dict[str, object]:
    window = shapes.model.window
    attend = partial(ring_attention.ring_attention, window=window)
    seen = [(min(context, window - 1) + count, count * window) for context, count in chunks]
    return measure(shapes, attend, chunks, len(chunks) * window, seen, dtype, device, speeds)


def measure_pages(
    shapes: Shapes, chunks: Sequence[tuple[int, int]], dtype: torch.dtype, device: torch.device, speeds: Speeds
) -> dict[str, object]:
    seen = [(context + count, count * context + count * (count + 1) // 2) for context, count in chunks]
    slots = sum(pages_of(shapes, chunks)) * shapes.page_size
    return measure(shapes, paged_attention.paged_attention, chunks, slots, seen, dtype, device, speeds)


def measure(
    shapes: Shapes,
    attend: Callable[..., Tensor],
    chunks: Sequence[tuple[int, int]],
    slots: int,
    seen: Sequence[tuple[int, int]],
    dtype: torch.dtype,
    device: torch.device,
    speeds: Speeds,
) -> dict[str, object]:
    """One launch of a kernel over chunks. `seen` has each chunk's number of keys and of query-key pairs."""
    model = shapes.model
    batch = make_batch(shapes, chunks, device)
    inputs = random_heads(shapes, len(batch.token_ids), device)
    keys, pairs = map(sum, zip(*seen, strict=True))
    token_bytes = 2 * model.num_kv_heads * model.head_dim * dtype.itemsize
    copies = cold_copies(slots * token_bytes + 2 * inputs[0].nbytes, device)  # Queries are read, outputs written.
    caches = [random_cache(shapes, slots, dtype, device) for _ in range(copies)]
    calls = [partial(attend, *inputs, *cache, batch=batch) for cache in caches]
    floor = speeds.floor(keys * token_bytes, pairs * 4 * model.num_heads * model.head_dim)
    return timed(calls, device, floor)


def maps(shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """Norm + q, k, v; output + residual; norm + unembedding: names, rows and columns."""
    model = shapes.model
    queries = model.num_heads * model.head_dim
    yield "norm_qkv", queries + 2 * model.num_kv_heads * model.head_dim, model.hidden_size
    yield "out_residual", model.hidden_size, queries
    yield "norm_unembed", model.vocab_size, model.hidden_size


def in_format(weight: Tensor, kind: torch.dtype) -> Tensor | Fp8Matrix:
    """A matrix as published, or as --quantization fp8 stores it."""
    return quantize(weight) if kind == torch.float8_e4m3fn else weight.to(kind)


def check_linear(shapes: Shapes, device: torch.device, _: Speeds) -> Iterator[dict[str, object]]:
    """The relative error against the reference in float32, beside the reference's in bfloat16; and how many repetitions
    differ."""
    dtype = TORCH_DTYPES[shapes.dtype]
    for name, rows, columns in maps(shapes):
        drawn = torch.randn(rows, columns, device=device) * columns**-0.5
        gain, bias = torch.rand(columns, device=device) + 0.5, torch.randn(rows, device=device).to(dtype)
        for kind, weight_dtype in narrow_dtypes(shapes).items():
            weight = in_format(drawn, weight_dtype)
            exact = weight if isinstance(weight, Fp8Matrix) else weight.float()
            for tokens in (1, norm_linear.FEW_TOKENS, 24, 40):
                x = torch.randn(tokens, columns, device=device).to(dtype)
                before = torch.randn(tokens, rows, device=device).to(dtype)
                calls = []
                for module, matrix, computed in (
                    (linear_reference, exact, torch.float32),
                    (norm_linear, weight, dtype),
                    (linear_reference, weight, dtype),
                ):
                    states, offset, residual = (tensor.to(computed) for tensor in (x, bias, before))
                    if name == "out_residual":
                        calls.append(partial(module.linear_add, states, matrix, offset, residual))
                    else:
                        calls.append(partial(module.norm_linear, states, gain, 1e-5, matrix, offset))
                yield from attempt(
                    {"map": name, "weights": kind, "tokens": tokens}, partial(compare, calls, shapes.repeats)
                )


def compare(calls: Sequence[Callable[[], Tensor]], repeats: int) -> dict[str, object]:
    """The errors of a kernel, and of the reference in the kernel's dtype, against the reference in float32."""
    exact, kernel, plain = calls
    want, got = exact(), kernel()
    return {
        "error": relative_error(got, want),
        "reference_error": relative_error(plain(), want),
        "differ": differing(kernel, got, repeats),
    }


def measure_linear(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """Times the kernels, and the references beside them. A prompt has the logits of one token."""
    dtype = TORCH_DTYPES[shapes.dtype]
    for name, rows, columns in maps(shapes):
        gain, bias = torch.randn(columns, device=device), torch.randn(rows, device=device).to(dtype)
        for weights_kind, weight_dtype in narrow_dtypes(shapes).items():
            read = rows * columns * weight_dtype.itemsize
            copies = cold_copies(read, device)
            weights = [in_format(0.02 * torch.randn(rows, columns, device=device), weight_dtype) for _ in range(copies)]
            prompts = () if name == "norm_unembed" else (shapes.model_prefill,)
            for tokens in (*shapes.linear_tokens, *prompts):
                x = torch.randn(tokens, columns, device=device).to(dtype)
                residual = torch.randn(tokens, rows, device=device).to(dtype)
                floor = speeds.floor(read, 2 * tokens * rows * columns)
                for kind, module in ("triton", norm_linear), ("reference", linear_reference):
                    if name == "out_residual":
                        calls = [partial(module.linear_add, x, weight, bias, residual) for weight in weights]
                    else:
                        calls = [partial(module.norm_linear, x, gain, 1e-5, weight, bias) for weight in weights]
                    asked: dict[str, object] = {"map": name, "weights": weights_kind, "kind": kind, "tokens": tokens}
                    yield from attempt(asked, partial(timed, calls, device, floor))
