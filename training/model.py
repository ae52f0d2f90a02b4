"""The gpt-oss architecture for training: dense causal attention, experts rounded to MXFP4 in the loop.

Parameters bear the names of the Hugging Face layout, so that exporting is a walk over the state dict. Expert
products are kept as [experts, rows, columns], the orientation of the packed blocks.
"""

import math
from typing import Any

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


def attention_mask(queries: int, keys: int, window: int | None) -> Tensor:
    """[queries, keys], 0 where a query may see a key and -inf where not: to be added to scores.

    The last query stands at the last key. `window` counts the query's own position. With 2 queries, 4 keys and
    window 2, the first query sees keys 1 and 2, the second keys 2 and 3.
    """
    behind = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)[None, :]
    seen = (behind >= 0) & (behind < (window if window is not None else keys))
    return torch.zeros(queries, keys).masked_fill(~seen, -torch.inf)


class Affine(torch.autograd.Function):
    """x [N, in] · weight [out, in] + bias [out]. The bias's gradient is a product too: a sum is slower in bf16."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        out: Tensor = functional.linear(x, weight, bias)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ weight, gradient.t() @ x, (gradient.new_ones(1, len(gradient)) @ gradient)[0]


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    out: Tensor = Affine.apply(x, weight.to(x.dtype), bias.to(x.dtype))  # type: ignore[no-untyped-call]
    return out


def project(linear: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer in the type of `x`, whatever type its weights are kept in."""
    out: Tensor = affine(x.flatten(0, -2), linear.weight, linear.bias).unflatten(0, x.shape[:-1])
    return out


def attend(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, mask: Tensor) -> Tensor:
    """q [B, H, ..., Q, D], k and v [B, H, ..., K, D], mask [..., Q, K], sinks [H] → [B, H, ..., Q, D].

    A sink is one more key, without a value: queries get a constant number for it to multiply.
    """
    one = q.new_ones(()).expand(*q.shape[:-1], 1)
    sink = functional.pad(sinks.to(q.dtype)[:, None], (q.shape[-1], 0))
    sink = sink.view(1, -1, *[1] * (q.dim() - 3), q.shape[-1] + 1).expand(*k.shape[:-2], 1, -1)
    keys = torch.cat((functional.pad(k, (0, 1)), sink), -2)
    scores = torch.cat((q * q.shape[-1] ** -0.5, one), -1) @ keys.transpose(-1, -2)
    scores += functional.pad(mask, (0, 1)).to(q.dtype)
    out: Tensor = scores.softmax(-1) @ functional.pad(v, (0, 0, 0, 1))
    return out


def attend_window(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int) -> Tensor:
    """What `attend` gives with a window's mask, in blocks of `window` queries that see two blocks of keys.

    q, k, v [B, H, T, D]. Keys before the first position are zeros, which the first block's mask hides.
    """
    length = q.shape[2]
    pad = -length % window
    q, k, v = (functional.pad(x, (0, 0, 0, pad)).unflatten(2, (-1, window)) for x in (q, k, v))
    k, v = (torch.cat((functional.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1], x), 3) for x in (k, v))
    mask = attention_mask(window, 2 * window, window).repeat(q.shape[2], 1, 1)
    mask[0, :, :window] = -torch.inf
    return attend(q, k, v, sinks, mask).flatten(2, 3)[:, :, :length]


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

    @torch.no_grad()
    def look_back(self, frequencies: Tensor) -> None:
        """Sets biases so that heads 0, 1, 2 begin with eyes for the token 1, 2, 3 places back.

        Turned by position, a query a·(cos df, -sin df) and a key a·(1, 0) agree most where the key is d places back.
        To find such a head by itself takes a small model longer than all that follows: copying rests on it.
        """
        strength = 4.0
        self.k_proj.bias.view(-1, 2, len(frequencies))[:, 0] = strength
        for head, distance in enumerate((1, 2, 3)[: len(self.sinks)]):
            turned = torch.stack(((distance * frequencies).cos(), -(distance * frequencies).sin()))
            self.q_proj.bias.view(-1, 2, len(frequencies))[head] = strength * turned

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = (
            project(projection, x).view(batch, length, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        if self.window is not None and length > 2 * self.window:
            out = attend_window(q, k, v, self.sinks, self.window)
        else:
            out = attend(q, k, v, self.sinks, attention_mask(length, length, self.window))
        return project(self.o_proj, out.transpose(1, 2).reshape(batch, length, -1))


class Permute(torch.autograd.Function):
    """Rows of `x` in the order `index`, whose `inverse` brings the gradient back without scattering."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return gradients[0].index_select(0, inverse), None, None


def permute(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    permuted: Tensor = Permute.apply(x, index, inverse)  # type: ignore[no-untyped-call]
    return permuted


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
        """x [N, hidden], chosen and weights [N, k] → [N, hidden]. Tokens are gathered expert by expert.

        The stored products alternate gate and up rows; computing with all gates first keeps memory in order.
        """
        gate_up_proj, gate_up_bias = (
            parameter.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2).to(x.dtype)
            for parameter in (as_stored(self.gate_up_proj), self.gate_up_proj_bias)
        )
        down_proj, down_bias = as_stored(self.down_proj).to(x.dtype), self.down_proj_bias.to(x.dtype)
        order = chosen.flatten().argsort(stable=True)
        inverse = order.argsort()
        counts = torch.bincount(chosen.flatten(), minlength=len(gate_up_proj)).tolist()
        copies = x[:, None].expand(-1, chosen.shape[1], -1).reshape(-1, x.shape[1])
        outputs = []
        for expert, rows in enumerate(permute(copies, order, inverse).split(counts)):
            gate, up = affine(rows, gate_up_proj[expert], gate_up_bias[expert]).chunk(2, -1)
            gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
            inner = (up + 1) * gate * torch.sigmoid(self.alpha * gate)
            outputs.append(affine(inner, down_proj[expert], down_bias[expert]))
        back = permute(torch.cat(outputs), inverse, order).view(*chosen.shape, -1)
        return (back * weights[..., None]).sum(1)


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
        logits = project(self.router, flat).float()
        top, chosen = logits.topk(self.experts_per_token, -1)
        out: Tensor = self.experts(flat, chosen, top.softmax(-1).to(x.dtype)).view_as(x)
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
        x = x + self.self_attn(self.input_layernorm(x).to(cos.dtype), cos, sin)
        update, imbalance = self.mlp(self.post_attention_layernorm(x).to(cos.dtype))
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

    def forward(self, token_ids: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        positions = torch.arange(token_ids.shape[1], dtype=torch.float32)
        angles = positions[:, None] * self.frequencies
        cos, sin = ((turn * self.concentration).to(dtype) for turn in (angles.cos(), angles.sin()))
        x, total = self.embed_tokens(token_ids), torch.zeros(())
        for layer in self.layers:
            x, imbalance = layer(x, cos, sin)
            total = total + imbalance
        return self.norm(x), total / len(self.layers)


class GptOss(nn.Module):
    """The whole model: ids [B, T] → logits [B, T, vocab] and the mean load-balance term.

    Products are taken in `dtype`; weights, the residual stream and the logits are float32.
    """

    def __init__(self, shape: Shape, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
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
        first = self.model.layers[0].self_attn
        assert isinstance(first, Attention)
        first.look_back(self.model.frequencies)

    def forward(self, token_ids: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """With `wanted`, bool [B, T], only those positions' logits, [N, vocab]."""
        hidden, imbalance = self.model(token_ids, self.dtype)
        if wanted is not None:
            hidden = hidden[wanted]
        weight = self.lm_head.weight
        return functional.linear(hidden.to(self.dtype), weight.to(self.dtype)).float(), imbalance
