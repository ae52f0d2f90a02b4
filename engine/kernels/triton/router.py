"""The router for few tokens in two launches (reference: `engine.kernels.router`).

router_logits   logits[token, expert] = weight · rms_norm(x) + bias     a program for each token and ROWS experts
choose_experts  the largest k of them and their softmax                 a program for each token

Reads the router's weights once a token, from the device's cache after the first, which only few tokens can afford: they
are experts · hidden elements, 184 KB for 32 experts and 2880.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from engine.kernels.router import route as reference

FEW_TOKENS = 256
ROWS = 4


@triton.jit
def router_logits(
    x, norm, weight, bias, normed, logits, x_stride, hidden, experts, eps,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    inside = column < hidden
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    exists = row < experts
    weights = tl.load(
        weight + row[:, None] * hidden + column[None, :], mask=exists[:, None] & inside[None, :], other=0.0
    ).to(tl.float32)
    wide = tl.load(x + token * x_stride + column, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / hidden + eps)
    value = (tl.load(norm + column, mask=inside, other=0.0) * (wide * scale)).to(normed.dtype.element_ty)
    tl.store(normed + token * hidden + column, value, mask=inside & (tl.program_id(1) == 0))
    logit = tl.sum(weights * value.to(tl.float32)[None, :], axis=1)
    logit += tl.load(bias + row, mask=exists, other=0.0).to(tl.float32)
    tl.store(logits + token * experts + row, logit.to(logits.dtype.element_ty), mask=exists)


@triton.jit
def choose_experts(
    logits, chosen, weights, experts, CHOICES: tl.constexpr, CHOICE_WIDTH: tl.constexpr, WIDTH: tl.constexpr
):
    token = tl.program_id(0).to(tl.int64)
    expert = tl.arange(0, WIDTH)
    left = tl.load(logits + token * experts + expert, mask=expert < experts, other=float("-inf")).to(tl.float32)
    choice = tl.arange(0, CHOICE_WIDTH)
    ids = tl.zeros([CHOICE_WIDTH], tl.int32)
    top = tl.full([CHOICE_WIDTH], float("-inf"), tl.float32)
    for nth in tl.static_range(CHOICES):
        best = tl.argmax(left, axis=0)
        ids = tl.where(choice == nth, best, ids)
        top = tl.where(choice == nth, tl.max(left, axis=0), top)
        left = tl.where(expert == best, float("-inf"), left)
    share = tl.exp(top - tl.max(top, axis=0))
    share = share / tl.sum(share, axis=0)
    at = token * CHOICES + choice
    tl.store(chosen + at, ids.to(tl.int64), mask=choice < CHOICES)
    tl.store(weights + at, share.to(weights.dtype.element_ty), mask=choice < CHOICES)


def route(x: Tensor, norm: Tensor, eps: float, weight: Tensor, bias: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """As the reference, which many tokens go to. Of equal logits the lowest expert is chosen."""
    tokens, hidden = x.shape
    experts = len(weight)
    if tokens > FEW_TOKENS:
        return reference(x, norm, eps, weight, bias, k)
    normed, logits = torch.empty_like(x), x.new_empty(tokens, experts)
    chosen, weights = torch.empty(tokens, k, dtype=torch.int64, device=x.device), x.new_empty(tokens, k)
    router_logits[(tokens, triton.cdiv(experts, ROWS))](
        x, norm, weight, bias, normed, logits, x.stride(0), hidden, experts, eps,
        ROWS=ROWS, WIDTH=triton.next_power_of_2(hidden), num_warps=8,
    )  # fmt: skip
    choose_experts[(tokens,)](
        logits, chosen, weights, experts,
        CHOICES=k, CHOICE_WIDTH=triton.next_power_of_2(k), WIDTH=triton.next_power_of_2(experts), num_warps=1,
    )  # fmt: skip
    return normed, chosen, weights
