"""Bytes from a config alone: weights, keys and values of a request, intermediates of a step."""

from dataclasses import dataclass

from engine.buckets import decode_buckets
from engine.config import DTYPE_BYTES, FP8_BYTES, Dtype, ExpertFormat, ModelConfig, Quantization
from engine.errors import ConfigError

SCORES_LIMIT = 2**26
"""Attention scores held at once (`kernels.attention`)."""
SCORED_LIMIT = 2**24
"""Logits of a scored prompt held at once (`runner.runner`)."""
SCORE_BYTES = 16
"""A score as computed, scaled, masked and as a weight, at most 4 bytes each; or a logit, its log-probability, and its
sort key."""
GRAPH_BYTES = 8 * 2**20
"""What a captured graph may keep for its launches, beside the tensors of its step: an allowance, not a measurement."""
SAMPLED_LOGIT_BYTES = 24
"""A logit through the sampler: float32 as computed, adjusted; and a grammar's mask, or its log-probability."""
SORTED_LOGIT_BYTES = 48
"""The same where filters sort: also divided and filtered; sorted, with its index; and top_p's cumulative probabilities
in float64."""


@dataclass(frozen=True, slots=True)
class KvSizes:
    """Bytes of keys and values.

    `token` is what a token takes in the full layers, `rings` what a request takes in the sliding ones,
    whatever its length; `whole_token` is what a token would take if every layer kept everything.
    """

    token: int
    rings: int
    whole_token: int


def kv_sizes(model: ModelConfig, element_bytes: int) -> KvSizes:
    """For 20b in bfloat16: 24 KiB a token, 3 MiB of rings a request; without rings 48 KiB a token. In fp8, half."""
    layer = 2 * model.kv_size * element_bytes
    return KvSizes(
        token=layer * len(model.full_layers),
        rings=layer * len(model.sliding_layers) * model.window,
        whole_token=layer * model.num_layers,
    )


@dataclass(frozen=True, slots=True)
class WeightSizes:
    """Bytes of weights: `layer` is what every token needs of a layer, `expert` one of its experts, `unembedding` the
    last product; `rest` is the last norm, and the embedding unless it is also the unembedding (in fp8, the unembedding
    has its own memory, tied or not)."""

    layer: int
    expert: int
    unembedding: int
    rest: int


def weight_sizes(
    model: ModelConfig,
    dtype: Dtype,
    experts: ExpertFormat,
    quantization: Quantization = "none",
    *,
    tiled: bool = False,
    resident: bool = False,
) -> WeightSizes:
    """Sizes as `engine.model.weights.empty_weights` allocates, plus a tied unembedding's fp8 copy. `tiled`: packed
    experts are padded to tiles of 64 rows and 128 columns for the GPU (`engine.kernels.triton.repack`); `resident`:
    and have a bfloat16 copy."""
    narrow, wide = DTYPE_BYTES[dtype], 4
    hidden, inner = model.hidden_size, model.intermediate_size
    q, qkv = model.q_size, model.qkv_size

    def matrix_bytes(rows: int, columns: int) -> int:
        return rows * columns * narrow if quantization == "none" else rows * (columns * FP8_BYTES + wide)

    matrices = matrix_bytes(qkv, hidden) + matrix_bytes(hidden, q)
    attention = matrices + narrow * (qkv + hidden) + wide * (hidden + model.num_heads)
    router = narrow * model.num_experts * (hidden + 1) + wide * hidden
    expert = 0
    for rows, columns in ((2 * inner, hidden), (hidden, inner)):
        if experts == "dense":
            matrix = rows * columns * narrow
        elif tiled:
            matrix = -(-rows // 64) * 64 * -(-columns // 128) * 68 + resident * rows * columns * narrow
        else:
            matrix = rows * columns // 32 * 17
        expert += matrix + rows * narrow
    shared = model.tie_word_embeddings and quantization == "none"
    rest = wide * hidden + (0 if shared else narrow * model.vocab_size * hidden)
    return WeightSizes(attention + router, expert, matrix_bytes(model.vocab_size, hidden), rest)


def weights_bytes(
    model: ModelConfig,
    dtype: Dtype,
    experts: ExpertFormat,
    quantization: Quantization = "none",
    *,
    tiled: bool = False,
    resident: bool = False,
) -> int:
    """Bytes of all weights. Raises ConfigError if the experts' bfloat16 copy would not be used."""
    if resident and not (tiled and experts == "mxfp4" and dtype == "bfloat16"):
        raise ConfigError(
            "--resident-experts is for MXFP4 experts on a GPU, with --dtype bfloat16 and without --deterministic"
        )
    sizes = weight_sizes(model, dtype, experts, quantization, tiled=tiled, resident=resident)
    return model.num_layers * (sizes.layer + model.num_experts * sizes.expert) + sizes.unembedding + sizes.rest


def saved_by_fp8(model: ModelConfig, dtype: Dtype) -> int:
    """Weight bytes that --quantization fp8 saves: 1.2 GB of 20b. May be negative if a tied unembedding is copied."""
    return weights_bytes(model, dtype, "dense") - weights_bytes(model, dtype, "dense", "fp8")


def workspace_bytes(
    model: ModelConfig, dtype: Dtype, batched_tokens: int, rows: int, *, holds_scores: bool, sorts_logits: bool
) -> int:
    """An upper estimate of the bytes that one step needs besides weights and caches.

    While the layers run: the hidden states of `batched_tokens` (in the experts, the larger of the reference's and of
    the kernels', which have a row for each of a token's experts), and the larger of attention's scores, if it
    `holds_scores`, and one unpacked expert. After them: the larger of the logits of `rows` sampled tokens and those of
    a scored prompt.
    """
    hidden, inner = model.hidden_size, model.intermediate_size
    states = states_bytes(model, dtype, batched_tokens)
    scores = holds_scores * SCORE_BYTES * min(SCORES_LIMIT, batched_tokens * model.num_heads * model.max_position)
    expert = 2 * inner * hidden * (2 + 2 * DTYPE_BYTES[dtype])
    sampled = (SORTED_LOGIT_BYTES if sorts_logits else SAMPLED_LOGIT_BYTES) * rows * model.vocab_size
    scored = SCORE_BYTES * min(SCORED_LIMIT, batched_tokens * model.vocab_size)
    return max(states + max(scores, expert), sampled, scored)


def states_bytes(model: ModelConfig, dtype: Dtype, tokens: int) -> int:
    """Bytes of the hidden states of `tokens` tokens, and of what a layer computes from them."""
    hidden, inner = model.hidden_size, model.intermediate_size
    pairs = DTYPE_BYTES[dtype] * model.experts_per_token * (hidden + inner)
    return tokens * (4 * (6 * hidden + 3 * model.qkv_size) + max(4 * 6 * inner, pairs))


def graphs_bytes(model: ModelConfig, dtype: Dtype, seqs: int, longest_pages: int) -> int:
    """An upper estimate of the bytes of CUDA graphs that decode up to `seqs` sequences of `longest_pages` pages.

    They share one pool, which holds the largest graph's step: its states, attention's splits and logits. All graphs
    also share the float32 logits and the block tables, which lie outside the pool.
    """
    splits = most_splits(seqs, model.num_kv_heads) * 4 * model.num_heads * (model.head_dim + 1)
    logits = (4 + DTYPE_BYTES[dtype]) * model.vocab_size
    tensors = states_bytes(model, dtype, seqs) + splits + seqs * (logits + 4 * longest_pages)
    return tensors + GRAPH_BYTES * len(decode_buckets(seqs))


def most_splits(seqs: int, kv_heads: int) -> int:
    """An upper bound of the splits of up to `seqs` decoding sequences (`engine.kernels.triton.paged_attention`).

    >>> most_splits(1, 8), most_splits(32, 8), most_splits(256, 8)
    (64, 1024, 2048)
    """
    return max(8 * seqs, min(64 * seqs, 8192 // kv_heads))
