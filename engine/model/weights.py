"""The weights in memory: one flat dictionary of named tensors, allocated before anything is read.

Names and shapes, with q = heads·head_dim, kv = kv_heads·head_dim, I = intermediate size:

    embedding                          [vocab, hidden]
    layers.N.attention_norm            [hidden]                     float32
    layers.N.qkv.weight / .bias        [q + 2·kv, hidden] / [q + 2·kv]
    layers.N.sinks                     [heads]                      float32
    layers.N.attention_out.weight/.bias [hidden, q] / [hidden]
    layers.N.mlp_norm                  [hidden]                     float32
    layers.N.router.weight / .bias     [experts, hidden] / [experts]
    layers.N.gate_up.bias              [experts, 2·I]
    layers.N.down.bias                 [experts, hidden]
    norm                               [hidden]                     float32
    unembedding                        [vocab, hidden]              absent when tied to the embedding

and an expert product (`gate_up` with rows 2·I and columns hidden, `down` with rows hidden and columns I) is either

    .blocks / .scales                  uint8 [experts, rows, columns/32, 16] / [experts, rows, columns/32]
    .dense                             [experts, rows, columns]

With --quantization fp8, `qkv.weight`, `attention_out.weight` and `unembedding` are each two tensors (`Fp8Matrix`):

    .values / .row_scales              float8_e4m3fn [rows, columns] / float32 [rows]
"""

import torch
from torch import Tensor

from engine.config import Dtype, ExpertFormat, ModelConfig, Quantization
from engine.kernels.arena import Arena, whole_lines
from engine.kernels.fp8_matrix import Fp8Matrix

Weights = dict[str, Tensor]
Matrix = Tensor | Fp8Matrix

TORCH_DTYPES: dict[Dtype, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}
MXFP4_BLOCK = 32


def empty_weights(
    config: ModelConfig,
    experts: ExpertFormat,
    dtype: Dtype,
    device: torch.device | str,
    quantization: Quantization = "none",
) -> Weights:
    """Uninitialised tensors for every weight of the model, on `device`; on a CPU `side_by_side`.

    Elsewhere the small ones are allocated first: torch would otherwise put some into the space left over by rounding up
    a large one, and could then not return that one's memory when it is freed.
    """
    device, shapes = torch.device(device), without_memory(config, experts, dtype, quantization)
    if device.type == "cpu":
        return side_by_side(shapes)
    ascending = sorted(shapes.items(), key=lambda named: named[1].nbytes)
    return {name: torch.empty_like(tensor, device=device) for name, tensor in ascending}


def side_by_side(shapes: Weights) -> Weights:
    """Allocates tensors in one piece of memory: Linux uses pages of 2 MiB only where whole ones fit, and a matrix of
    3 MiB by itself rarely holds one."""
    arena = Arena(sum(whole_lines(tensor) for tensor in shapes.values()))
    return {name: arena.like(tensor) for name, tensor in shapes.items()}


def without_memory(config: ModelConfig, experts: ExpertFormat, dtype: Dtype, quantization: Quantization) -> Weights:
    """The tensors of `empty_weights`, on the meta device."""
    wide = torch.float32
    narrow = TORCH_DTYPES[dtype]
    hidden, heads, experts_count = config.hidden_size, config.num_heads, config.num_experts

    def empty(*shape: int, dtype: torch.dtype = narrow) -> Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    def empty_matrix(name: str, rows: int, columns: int) -> Weights:
        if quantization == "none":
            return {name: empty(rows, columns)}
        values = empty(rows, columns, dtype=torch.float8_e4m3fn)
        return {f"{name}.values": values, f"{name}.row_scales": empty(rows, dtype=wide)}

    weights = {"embedding": empty(config.vocab_size, hidden), "norm": empty(hidden, dtype=wide)}
    if not config.tie_word_embeddings:
        weights |= empty_matrix("unembedding", config.vocab_size, hidden)
    for layer in range(config.num_layers):
        prefix = f"layers.{layer}."
        weights |= {
            prefix + "attention_norm": empty(hidden, dtype=wide),
            **empty_matrix(prefix + "qkv.weight", config.qkv_size, hidden),
            prefix + "qkv.bias": empty(config.qkv_size),
            prefix + "sinks": empty(heads, dtype=wide),
            **empty_matrix(prefix + "attention_out.weight", hidden, config.q_size),
            prefix + "attention_out.bias": empty(hidden),
            prefix + "mlp_norm": empty(hidden, dtype=wide),
            prefix + "router.weight": empty(experts_count, hidden),
            prefix + "router.bias": empty(experts_count),
        }
        for name, rows, columns in (
            ("gate_up", 2 * config.intermediate_size, hidden),
            ("down", hidden, config.intermediate_size),
        ):
            weights[f"{prefix}{name}.bias"] = empty(experts_count, rows)
            if experts == "dense":
                weights[f"{prefix}{name}.dense"] = empty(experts_count, rows, columns)
            else:
                blocks = columns // MXFP4_BLOCK
                packed = (experts_count, rows, blocks)
                weights[f"{prefix}{name}.blocks"] = empty(*packed, MXFP4_BLOCK // 2, dtype=torch.uint8)
                weights[f"{prefix}{name}.scales"] = empty(*packed, dtype=torch.uint8)
    return weights


def free_unused(device: torch.device) -> None:
    """Returns the memory that torch keeps of freed tensors: the next ones have other sizes."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def weight_matrix(weights: Weights, name: str) -> Matrix:
    """A matrix that may be in fp8, or any other tensor."""
    if name in weights:
        return weights[name]
    return Fp8Matrix(weights[f"{name}.values"], weights[f"{name}.row_scales"])
