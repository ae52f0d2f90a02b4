"""The gpt-oss architecture for training: dense causal attention, experts rounded to MXFP4 in training.

Parameters have the names of the Hugging Face layout, so that exporting is a walk over the state dict.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.attention import Attention, rotary_frequencies
from training.config import Shape
from training.experts import TILE, MixtureOfExperts
from training.norm import Norm


class Layer(nn.Module):
    def __init__(self, shape: Shape, layer_type: str) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape, layer_type)
        self.post_attention_layernorm = Norm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = MixtureOfExperts(shape)

    def forward(self, x: Tensor, update: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The residual stream [B·T, hidden] and the layer before's addition to it → both, and the load-balance term."""
        x, normed = self.input_layernorm(x, update)
        x, normed = self.post_attention_layernorm(x, self.self_attn(normed, cos, sin))
        update, imbalance = self.mlp(normed)
        return x, update, imbalance


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape, kind) for kind in shape.layer_types)
        self.norm = Norm(shape.hidden_size, shape.rms_norm_eps)
        frequencies, self.concentration = rotary_frequencies(shape)
        self.frequencies: Tensor
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, token_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        positions = torch.arange(token_ids.shape[1], dtype=torch.float32, device=token_ids.device)
        angles = positions[:, None] * self.frequencies
        cos, sin = ((turn * self.concentration).to(dtype) for turn in (angles.cos(), angles.sin()))
        x = self.embed_tokens(token_ids.flatten())
        update, total = torch.zeros_like(x, dtype=dtype), torch.zeros((), device=x.device)
        for layer in self.layers:
            x, update, imbalance = layer(x, update, cos, sin)
            total = total + imbalance
        _, normed = self.norm(x, update)
        return normed.view(*token_ids.shape, -1), total / len(self.layers)


class GptOss(nn.Module):
    """The whole model: ids [B, T] → logits [B, T, vocab] and the mean load-balance term.

    Products and logits are in `dtype`; weights and the residual stream are in float32.
    """

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        self.model = Decoder(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    def forward(self, token_ids: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """With `wanted`, bool [B, T], only the logits of these positions, [N, vocab]."""
        hidden, imbalance = self.model(token_ids, self.dtype)
        if wanted is None:
            return functional.linear(hidden, self.lm_head.weight.to(self.dtype)), imbalance
        hidden = hidden[wanted]
        filled = functional.pad(hidden, (0, 0, 0, -len(hidden) % TILE))
        return functional.linear(filled, self.lm_head.weight.to(self.dtype))[: len(hidden)], imbalance
