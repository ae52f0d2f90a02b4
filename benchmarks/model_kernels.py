"""The whole model with every kernel, at gpt-oss-20b's sizes with random weights: how far its answers are from the
reference's, and how long a step takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.attention_kernels import make_batch
from benchmarks.device import Speeds, attempt, cold_copies, figures, seconds_a_call, timed
from benchmarks.shapes import Shapes
from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.checkpoint.dummy import fill_random
from engine.config import Dtype, ModelConfig
from engine.kernels.choose import NEUTRAL
from engine.kernels.ragged import RaggedBatch
from engine.kernels.table import REFERENCE, Ops, triton_ops
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.model.weights import TORCH_DTYPES, empty_weights
from engine.plan import Chunk
from engine.runner.batch import build_batch


@dataclass(frozen=True)
class Variant:
    """Ops, the dtype in which they compute, and the caches' dtype."""

    ops: Ops
    dtype: Dtype
    kv_dtype: torch.dtype | None = None


def kernel_ops(device: torch.device, *, resident: bool = False) -> Ops:
    ops = triton_ops(torch.cuda.get_device_capability(device) if device.type == "cuda" else (9, 0))
    return ops.with_resident_experts() if resident else ops


def check_model(shapes: Shapes, device: torch.device, _: Speeds) -> Iterator[dict[str, object]]:
    """The mean and maximum KL(reference ‖ kernels) of the next token's distribution, over prompts read whole and the
    steps after them, beside the KL of the reference in bfloat16 from itself in float32."""
    dtype, fp8 = shapes.dtype, torch.float8_e4m3fn
    ours, resident = kernel_ops(device), kernel_ops(device, resident=True)
    wide, plain, narrow = "reference in float32", f"reference in {dtype}", "reference, fp8 cache"
    variants = {
        wide: Variant(REFERENCE, "float32"),
        plain: Variant(REFERENCE, dtype),
        narrow: Variant(REFERENCE, dtype, fp8),
        "kernels": Variant(ours, dtype),
        "kernels, resident experts": Variant(resident, dtype),
        "kernels, fp8 cache": Variant(ours, dtype, fp8),
    }

    @cache
    def answers(name: str) -> Tensor:
        return log_probabilities(shapes, variants[name], device)

    def distance(name: str, against: str) -> dict[str, object]:
        return divergence(answers(against), answers(name))

    for name, against in (
        (plain, wide),
        ("kernels", plain),
        ("kernels, resident experts", plain),
        ("kernels, fp8 cache", narrow),
        (narrow, plain),
    ):
        yield from attempt({"model": name, "against": against}, partial(distance, name, against))


def divergence(want: Tensor, got: Tensor) -> dict[str, object]:
    each = torch.cat(
        [(p.exp() * (p - q)).sum(dim=-1) for p, q in zip(want.split(64), got.split(64), strict=True)]
    )  # fmt: skip
    return {"kl_mean": each.mean().item(), "kl_median": each.median().item(), "kl_most": each.max().item()}


def build(shapes: Shapes, variant: Variant, device: torch.device) -> GptOss:
    weights = empty_weights(shapes.model, "mxfp4", variant.dtype, device)
    fill_random(weights, 1)
    return GptOss(shapes.model, weights, variant.ops)


@torch.inference_mode()
def log_probabilities(shapes: Shapes, variant: Variant, device: torch.device) -> Tensor:
    """Of every prompt's last token and every token decoded after it, on the CPU: float32 [rows, vocab]."""
    config, dtype = shapes.model, variant.kv_dtype or TORCH_DTYPES[variant.dtype]
    model = build(shapes, variant, device)
    pages = -(-(max(shapes.prompts) + shapes.decoded) // shapes.page_size)
    rings = RollingCache(config, len(shapes.prompts), dtype, device)
    paged = PagedCache(config, len(shapes.prompts) * pages, shapes.page_size, dtype, device)
    rotary = RotaryTable(config.rope, config.head_dim, device)
    tokens = torch.randint(config.vocab_size, (len(shapes.prompts), 2**9), generator=torch.Generator().manual_seed(3))
    rows = []
    for step in range(shapes.decoded + 1):
        chunks = []
        for s, prompt in enumerate(shapes.prompts):
            first, stop = (0, prompt) if step == 0 else (prompt + step - 1, prompt + step)
            table = tuple(range(s * pages, (s + 1) * pages))
            chunks.append(Chunk(str(s), tuple(tokens[s, first:stop].tolist()), first, s, table, True))
        batch = build_batch(chunks, config.window, shapes.page_size, rotary, device)
        hidden = model.forward(batch, rings, paged)
        last = torch.tensor(batch.starts[1:], device=device) - 1
        rows.append(model.logits(hidden[last]).log_softmax(dim=-1).cpu())
    return torch.cat(rows)


@torch.inference_mode()
def measure_model(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """Times a step of all layers and the logits in one CUDA graph: decoding by batch, and a prompt. Decoding's floor is
    reading the experts that even routes touch, all other weights, and the keys and values; a prompt's floor is its
    products."""
    for name, resident in ("packed", False), ("resident", True):
        model = build(shapes, Variant(kernel_ops(device, resident=resident), shapes.dtype), device)
        steps = [] if resident else [[(shapes.model_context, 1)] * batch for batch in shapes.decode_batches]
        for chunks in [*steps, [(0, shapes.model_prefill)]]:
            tokens = sum(count for _, count in chunks)
            shape = {"experts": name, "sequences": len(chunks), "context": chunks[0][0], "tokens": tokens}
            yield from attempt(shape, partial(measure_step, shapes, model, chunks, device, speeds))


def measure_step(
    shapes: Shapes, model: GptOss, chunks: list[tuple[int, int]], device: torch.device, speeds: Speeds
) -> dict[str, object]:
    batch = make_batch(shapes, chunks, device)
    call = partial(run_step, shapes, model, batch, *make_caches(shapes, chunks, device))
    seconds = seconds_a_call([call], device)
    tokens_per_second = sum(count for _, count in chunks) / seconds
    return figures(seconds, speeds.floor(*work(shapes.model, chunks))) | {"tokens_per_second": tokens_per_second}


def make_caches(shapes: Shapes, chunks: list[tuple[int, int]], device: torch.device) -> tuple[RollingCache, PagedCache]:
    pages = sum(-(-(context + count) // shapes.page_size) for context, count in chunks)
    dtype = TORCH_DTYPES[shapes.dtype]
    rings = RollingCache(shapes.model, len(chunks), dtype, device)
    paged = PagedCache(shapes.model, pages, shapes.page_size, dtype, device)
    for tensor in (rings.keys, rings.values, paged.keys, paged.values):
        tensor.normal_()
    return rings, paged


def run_step(shapes: Shapes, model: GptOss, batch: RaggedBatch, rings: RollingCache, pages: PagedCache) -> Tensor:
    hidden = model.forward(batch, rings, pages)
    return model.logits(hidden[-len(batch.contexts) :])


def work(model: ModelConfig, chunks: list[tuple[int, int]]) -> tuple[float, float]:
    """Bytes and operations of a step of (tokens in the caches, new ones): the formulas of the weights, and of every
    visible key."""
    tokens = sum(count for _, count in chunks)
    queries, kv = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    attention = model.hidden_size * (2 * queries + 2 * kv) + model.hidden_size * model.num_experts
    expert = 3 * model.hidden_size * model.intermediate_size
    touched = model.num_experts * (1 - (1 - model.experts_per_token / model.num_experts) ** tokens)
    unembedding = model.vocab_size * model.hidden_size
    full, sliding = len(model.full_layers), len(model.sliding_layers)
    keys = sum(full * (context + count) + sliding * min(context + count, model.window) for context, count in chunks)
    pairs = sum(
        full * (count * context + count * (count + 1) // 2) + sliding * count * min(context + count, model.window)
        for context, count in chunks
    )
    layers = model.num_layers
    moved = layers * (2 * attention + touched * expert * 17 / 32) + 2 * unembedding + keys * 4 * kv
    a_token = layers * 2 * (attention + model.experts_per_token * expert)
    return moved, tokens * a_token + len(chunks) * 2 * unembedding + pairs * 4 * queries


@torch.inference_mode()
def measure_sampling(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """Times the op that chooses the tokens, as in a step's graphs; the floor reads the logits once."""
    choose = kernel_ops(device).choose
    for rows in shapes.decode_batches:
        size = shapes.model.vocab_size
        copies = cold_copies(rows * size * torch.float32.itemsize, device)
        logits = [torch.randn(rows, size, device=device) for _ in range(copies)]
        for name, drawn in (
            ("greedy", NEUTRAL),
            ("temperature", (1.0, 0.5, *NEUTRAL[2:])),
            ("top_p 0.9", (1.0, 0.5, *NEUTRAL[2:4], 0.9)),
        ):
            draws = torch.tensor(drawn, dtype=torch.float64, device=device)[:, None].expand(-1, rows).contiguous()
            calls = [partial(choose, each, draws) for each in logits]
            measured = partial(timed, calls, device, speeds.floor(logits[0].nbytes, 0))
            yield from attempt({"sampling": name, "rows": rows}, measured)
