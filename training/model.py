"""The gpt-oss architecture for training: dense causal attention, experts rounded to MXFP4 in the loop.

Parameters bear the names of the Hugging Face layout, so that exporting is a walk over the state dict. Expert
products are kept as [experts, rows, columns], the orientation of the packed blocks.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import Shape
from training.mxfp4 import as_stored


def rotary_frequencies(shape: Shape) -> tuple[Tensor, float]:
    """YaRN's angle per position, [head_dim/2], and the factor on cos and sin (arXiv 2309.00071).

    Dimensions that turn more than beta_fast times over the original context keep their frequency, those that
    turn less than beta_slow times are slowed by `rope_factor`, and a linear ramp joins them.
    """
    dim, base = shape.head_dim, shape.rope_theta
    frequencies = base ** -(torch.arange(0, dim, 2, dtype=torch.float32) / dim)

    def dimension_of(turns: float) -> float:
        return dim * math.log(shape.original_max_position / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(dimension_of(shape.beta_fast), 0), min(dimension_of(shape.beta_slow), dim - 1)
    slowed = ((torch.arange(dim // 2) - low) / max(high - low, 0.001)).clamp(0, 1)
    frequencies = frequencies / shape.rope_factor * slowed + frequencies * (1 - slowed)
    concentration = 0.1 * math.log(shape.rope_factor) + 1.0 if shape.rope_factor > 1 else 1.0
    return frequencies, concentration


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns pairs (i, i + head_dim/2). x [..., T, head_dim], cos and sin [T, head_dim/2]."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def attention_mask(length: int, window: int | None) -> Tensor:
    """bool [length, length]: may query i see key j? `window` counts the query's own position.

    With length 4 and window 2, the query at 3 sees keys 2 and 3.
    """
    behind = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    return (behind >= 0) & (behind < (window if window is not None else length))


class Attention(nn.Module):
    """Grouped-query attention with a learned sink logit per query head."""

    def __init__(self, shape: Shape, layer_type: str) -> None:
        super().__init__()
        hidden, width = shape.hidden_size, shape.head_dim
        self.head_dim = width
        self.window = shape.window if layer_type == "sliding_attention" else None
        self.q_proj = nn.Linear(hidden, shape.num_heads * width)
        self.k_proj = nn.Linear(hidden, shape.num_kv_heads * width)
        self.v_proj = nn.Linear(hidden, shape.num_kv_heads * width)
        self.o_proj = nn.Linear(shape.num_heads * width, hidden)
        self.sinks = nn.Parameter(torch.zeros(shape.num_heads))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            projection(x).view(batch, length, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores = q @ k.transpose(-1, -2) * self.head_dim**-0.5
        scores = scores.masked_fill(~attention_mask(length, self.window), -torch.inf)
        sinks = self.sinks.view(1, -1, 1, 1).expand(batch, -1, length, 1)
        probabilities = torch.cat((scores, sinks), -1).softmax(-1)[..., :-1]
        merged = (probabilities @ v).transpose(1, 2).reshape(batch, length, -1)
        out: Tensor = self.o_proj(merged)
        return out


class Experts(nn.Module):
    """Every expert's two products; MXFP4 rounds the weights, the biases stay as they are."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        experts, hidden, inner = shape.num_experts, shape.hidden_size, shape.intermediate_size
        self.alpha, self.limit = shape.swiglu_alpha, shape.swiglu_limit
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * inner, hidden))
        self.gate_up_proj_bias = nn.Parameter(torch.zeros(experts, 2 * inner))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, inner))
        self.down_proj_bias = nn.Parameter(torch.zeros(experts, hidden))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """x [N, hidden], chosen and weights [N, k] → [N, hidden]. Tokens are gathered expert by expert."""
        gate_up_proj, down_proj = as_stored(self.gate_up_proj), as_stored(self.down_proj)
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=len(gate_up_proj)).tolist()
        tokens = order // chosen.shape[1]
        outputs = []
        for expert, rows in enumerate(x[tokens].split(counts)):
            gate_up = functional.linear(rows, gate_up_proj[expert], self.gate_up_proj_bias[expert])
            gate = gate_up[:, 0::2].clamp(max=self.limit)
            up = gate_up[:, 1::2].clamp(-self.limit, self.limit)
            inner = (up + 1) * gate * torch.sigmoid(self.alpha * gate)
            outputs.append(functional.linear(inner, down_proj[expert], self.down_proj_bias[expert]))
        weighted = torch.cat(outputs) * weights.flatten()[order, None]
        return torch.zeros_like(x).index_add(0, tokens, weighted)


class MixtureOfExperts(nn.Module):
    """The router picks k experts per token and shares the token's output among them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.experts_per_token = shape.experts_per_token
        self.router = nn.Linear(shape.hidden_size, shape.num_experts)
        self.experts = Experts(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, hidden] → the same, and Switch Transformers' load-balance term (arXiv 2101.03961)."""
        flat = x.flatten(0, 1)
        logits = self.router(flat)
        top, chosen = logits.topk(self.experts_per_token, -1)
        out: Tensor = self.experts(flat, chosen, top.softmax(-1)).view_as(x)
        count = logits.shape[-1]
        share = torch.bincount(chosen.flatten(), minlength=count) / chosen.numel()
        return out, count * (share * logits.softmax(-1).mean(0)).sum()


class Layer(nn.Module):
    def __init__(self, shape: Shape, layer_type: str) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.self_attn = Attention(shape, layer_type)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.mlp = MixtureOfExperts(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        update, imbalance = self.mlp(self.post_attention_layernorm(x))
        return x + update, imbalance


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape, kind) for kind in shape.layer_types)
        self.norm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        frequencies, self.concentration = rotary_frequencies(shape)
        self.frequencies: Tensor
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        positions = torch.arange(token_ids.shape[1], dtype=torch.float32)
        angles = positions[:, None] * self.frequencies
        cos, sin = angles.cos() * self.concentration, angles.sin() * self.concentration
        x, total = self.embed_tokens(token_ids), torch.zeros(())
        for layer in self.layers:
            x, imbalance = layer(x, cos, sin)
            total = total + imbalance
        return self.norm(x), total / len(self.layers)


class GptOss(nn.Module):
    """The whole model: ids [B, T] → logits [B, T, vocab] and the mean load-balance term."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        self.initialise(torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights; what writes into the residual stream is scaled by 1/sqrt(2·layers) (GPT-2)."""
        residual_scale = (2 * self.shape.num_layers) ** -0.5
        for name, parameter in self.named_parameters():
            if name.endswith("bias") or parameter.dim() == 1:
                parameter.fill_(1.0 if "norm" in name else 0.0)
                continue
            writes = "o_proj" in name or "down_proj" in name
            std = self.shape.initializer_range * (residual_scale if writes else 1.0)
            parameter.normal_(0.0, std, generator=generator)

    def forward(self, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        hidden, imbalance = self.model(token_ids)
        return self.lm_head(hidden), imbalance
