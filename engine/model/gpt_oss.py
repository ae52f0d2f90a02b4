"""The model, top to bottom: embed, layers of attention and experts, norm, unembed.

Plain functions of tensors that arrive as arguments: the weights, the step's batch, the caches. The mathematics is
that of OpenAI's gpt-oss; the ops come from one table (`engine.kernels.table`).
"""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.config import ModelConfig
from engine.kernels.experts import ExpertProduct
from engine.kernels.fp8_matrix import Fp8Matrix, quantize
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.ragged import RaggedBatch
from engine.kernels.table import Ops
from engine.kernels.triton.repack import KernelProduct
from engine.model.weights import Matrix, Weights, free_unused, weight_matrix


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer's tensors; shapes in `engine.model.weights`."""

    attention_norm: Tensor
    qkv_weight: Matrix
    qkv_bias: Tensor
    sinks: Tensor
    out_weight: Matrix
    out_bias: Tensor
    mlp_norm: Tensor
    router_weight: Tensor
    router_bias: Tensor
    gate_up: ExpertProduct | KernelProduct
    down: ExpertProduct | KernelProduct


class GptOss:
    """A gpt-oss-style mixture-of-experts transformer.

    The experts' matrices are removed from `weights`, so that each is freed once the ops have converted it, or is
    reordered in place: no other model can be built from the same tensors.
    """

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        self.config = config
        self.ops = ops
        self.embedding = weights["embedding"]
        self.norm = weights["norm"]
        self.layers = [layer_weights(weights, layer, ops) for layer in range(config.num_layers)]
        self.unembedding: Matrix
        if not config.tie_word_embeddings:
            self.unembedding = weight_matrix(weights, "unembedding")
        elif isinstance(self.layers[0].out_weight, Fp8Matrix):
            self.unembedding = quantize(self.embedding)
        else:
            self.unembedding = self.embedding

    def forward(self, batch: RaggedBatch, rings: RollingCache, pages: PagedCache) -> Tensor:
        """One step: reads and updates the caches, returns the last hidden states [tokens, hidden]."""
        x = self.ops.embed(batch.token_ids, self.embedding)
        for number, layer in enumerate(self.layers):
            x = self.attention(x, number, layer, batch, rings, pages)
            x = self.experts(x, layer, batch.row_sequences)
        return x

    def attention(
        self,
        x: Tensor,
        number: int,
        layer: LayerWeights,
        batch: RaggedBatch,
        rings: RollingCache,
        pages: PagedCache,
    ) -> Tensor:
        config, ops = self.config, self.ops
        qkv = ops.norm_linear(x, layer.attention_norm, config.rms_norm_eps, layer.qkv_weight, layer.qkv_bias)
        heads = qkv.view(x.shape[0], -1, config.head_dim)
        q, k, v = heads.split_with_sizes((config.num_heads, config.num_kv_heads, config.num_kv_heads), 1)
        if config.layer_types[number] == "sliding_attention":
            out = ops.ring_attention(q, k, v, layer.sinks, *rings.layer(number), config.window, batch)
        else:
            out = ops.paged_attention(q, k, v, layer.sinks, *pages.layer(number), batch)
        return ops.linear_add(out.flatten(1), layer.out_weight, layer.out_bias, x)

    def experts(self, x: Tensor, layer: LayerWeights, row_sequences: Tensor | None) -> Tensor:
        config, ops = self.config, self.ops
        route = ops.route if row_sequences is None else partial(ops.route, row_sequences=row_sequences)
        normed, experts, weights = route(
            x,
            layer.mlp_norm,
            config.rms_norm_eps,
            layer.router_weight,
            layer.router_bias,
            config.experts_per_token,
        )
        return ops.mix_experts(
            normed, experts, weights, layer.gate_up, layer.down, config.swiglu_alpha, config.swiglu_limit, x
        )

    def logits(self, hidden: Tensor, out: Tensor | None = None) -> Tensor:
        """[rows, hidden] → float32 [rows, vocab], in `out` if that is given."""
        logits = self.ops.norm_linear(hidden, self.norm, self.config.rms_norm_eps, self.unembedding, None)
        return self.ops.widen(logits, out)


def layer_weights(weights: Weights, layer: int, ops: Ops) -> LayerWeights:
    """Gathers one layer's tensors from the flat dictionary, and removes the experts' matrices from it. The memory freed
    with each is returned before the next: torch would split it for a smaller tensor, and could then return none of it.
    """
    prefix = f"layers.{layer}."

    def taken(name: str) -> ExpertProduct:
        def take(kind: str) -> Tensor:
            return weights.pop(f"{prefix}{name}.{kind}")

        dense = f"{prefix}{name}.dense" in weights
        matrix = take("dense") if dense else Mxfp4(take("blocks"), take("scales"))
        return ExpertProduct(matrix, weights[f"{prefix}{name}.bias"])

    def product(name: str) -> ExpertProduct | KernelProduct:
        prepared = ops.prepare_experts(taken(name))
        free_unused(prepared.bias.device)
        return prepared

    return LayerWeights(
        attention_norm=weights[prefix + "attention_norm"],
        qkv_weight=weight_matrix(weights, prefix + "qkv.weight"),
        qkv_bias=weights[prefix + "qkv.bias"],
        sinks=weights[prefix + "sinks"],
        out_weight=weight_matrix(weights, prefix + "attention_out.weight"),
        out_bias=weights[prefix + "attention_out.bias"],
        mlp_norm=weights[prefix + "mlp_norm"],
        router_weight=weights[prefix + "router.weight"],
        router_bias=weights[prefix + "router.bias"],
        gate_up=product("gate_up"),
        down=product("down"),
    )
