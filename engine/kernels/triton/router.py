"""The router (reference: `engine.kernels.router`).

Of few tokens a program for each norms it, makes its logits and chooses: one launch. It reads the whole router, from the
device's cache after the first token; one multiprocessor reads the 184 KB of 32 experts and 2880 in about two
microseconds. The 737 KB of 128 experts would take it eight, so of larger routers a program makes the logits of ROWS
experts, and the choice is a launch of its own. Of more tokens that would be read, and normed, too often: norm, the
vendor library's product and the choice are a launch each.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

from engine.kernels.router import NO_EXPERT
from engine.kernels.triton.norm_linear import rms_norm

FEW_TOKENS = 32
ROWS = 4
ONE_PROGRAM_WEIGHTS = 2**17
"""The largest router, in weights, that a program reads alone."""
BLOCK_WEIGHTS = 8192
"""Weights of a step: 32 for each of a program's threads."""


@triton.jit
def norm_token(x, norm, normed, hidden, eps, store, WIDTH: tl.constexpr):
    """One token's RMSNorm: float32 [WIDTH], rounded as normed is, where it goes if `store`; and the norm's factor."""
    column = tl.arange(0, WIDTH)
    inside = column < hidden
    wide = tl.load(x + column, mask=inside, other=0.0).to(tl.float32)
    factor = tl.rsqrt(tl.sum(wide * wide, axis=0) / hidden + eps)
    value = (tl.load(norm + column, mask=inside, other=0.0) * (wide * factor)).to(normed.dtype.element_ty)
    tl.store(normed + column, value, mask=inside & store)
    return value.to(tl.float32), factor


@triton.jit
def choose(
    logit, expert, token, sequences, chosen, weights,
    CHOICES: tl.constexpr, CHOICE_WIDTH: tl.constexpr, NO_EXPERT: tl.constexpr,
):  # fmt: skip
    """Writes one token's choice: the experts of the largest logits [experts], the lowest of equal ones, and their
    softmax. An expert's rank is how many stand before it; a logit that is not a number counts as infinite: ids stay
    those of experts whatever the numbers are, and the weights are not numbers. A token of no sequence gets
    NO_EXPERT."""
    logit = tl.where(logit == logit, logit, float("inf"))
    before = (logit[None, :] > logit[:, None]) | (
        (logit[None, :] == logit[:, None]) & (expert[None, :] < expert[:, None])
    )
    rank = tl.sum(before.to(tl.int32), axis=1)
    choice = tl.arange(0, CHOICE_WIDTH)
    has = rank[None, :] == choice[:, None]
    ids = tl.sum(tl.where(has, expert[None, :], 0), axis=1)
    top = tl.max(tl.where(has, logit[None, :], float("-inf")), axis=1)
    share = tl.where(choice < CHOICES, tl.exp(top - tl.max(logit, axis=0)), 0.0)
    share = share / tl.sum(share, axis=0)
    if sequences is not None:
        ids = tl.where(tl.load(sequences + token) < 0, NO_EXPERT, ids)
    tl.store(chosen + token * CHOICES + choice, ids.to(tl.int64), mask=choice < CHOICES)
    tl.store(weights + token * CHOICES + choice, share.to(weights.dtype.element_ty), mask=choice < CHOICES)


@triton.jit
def route_token(
    x, norm, weight, bias, sequences, normed, chosen, weights, x_stride, hidden, experts, eps,
    CHOICES: tl.constexpr, CHOICE_WIDTH: tl.constexpr, NO_EXPERT: tl.constexpr, EXPERTS: tl.constexpr,
    WIDTH: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    _, factor = norm_token(x + token * x_stride, norm, normed + token * hidden, hidden, eps, True, WIDTH)
    expert = tl.arange(0, EXPERTS)
    exists = expert < experts
    sums = tl.zeros([EXPERTS, COLUMNS], tl.float32)
    for first in tl.range(0, hidden, COLUMNS, num_stages=STAGES):
        column = first + tl.arange(0, COLUMNS)
        inside = column < hidden
        block = tl.load(
            weight + expert[:, None] * hidden + column[None, :], mask=exists[:, None] & inside[None, :], other=0.0
        )
        wide = tl.load(x + token * x_stride + column, mask=inside, other=0.0).to(tl.float32)
        value = (tl.load(norm + column, mask=inside, other=0.0) * (wide * factor)).to(normed.dtype.element_ty)
        sums += block.to(tl.float32) * value.to(tl.float32)[None, :]
    logit = tl.sum(sums, axis=1) + tl.load(bias + expert, mask=exists, other=0.0).to(tl.float32)
    logit = tl.where(exists, logit.to(weights.dtype.element_ty).to(tl.float32), float("-inf"))
    choose(logit, expert, token, sequences, chosen, weights, CHOICES, CHOICE_WIDTH, NO_EXPERT)


@triton.jit
def router_logits(
    x, norm, weight, bias, normed, logits, x_stride, hidden, experts, eps,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) == 0
    value, _ = norm_token(x + token * x_stride, norm, normed + token * hidden, hidden, eps, first, WIDTH)
    column = tl.arange(0, WIDTH)
    inside = column < hidden
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    exists = row < experts
    block = tl.load(
        weight + row[:, None] * hidden + column[None, :], mask=exists[:, None] & inside[None, :], other=0.0
    ).to(tl.float32)
    logit = tl.sum(block * value[None, :], axis=1)
    logit += tl.load(bias + row, mask=exists, other=0.0).to(tl.float32)
    tl.store(logits + token * experts + row, logit.to(logits.dtype.element_ty), mask=exists)


@triton.jit
def choose_experts(
    logits, sequences, chosen, weights, experts,
    CHOICES: tl.constexpr, CHOICE_WIDTH: tl.constexpr, NO_EXPERT: tl.constexpr, EXPERTS: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    expert = tl.arange(0, EXPERTS)
    logit = tl.load(logits + token * experts + expert, mask=expert < experts, other=float("-inf")).to(tl.float32)
    choose(logit, expert, token, sequences, chosen, weights, CHOICES, CHOICE_WIDTH, NO_EXPERT)


def route(
    x: Tensor, norm: Tensor, eps: float, weight: Tensor, bias: Tensor, k: int, row_sequences: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """As the reference. Of equal logits the lowest expert is chosen."""
    tokens, hidden = x.shape
    experts = len(weight)
    chosen, weights = torch.empty(tokens, k, dtype=torch.int64, device=x.device), x.new_empty(tokens, k)
    width, choice_width = triton.next_power_of_2(experts), triton.next_power_of_2(k)
    hidden_width = triton.next_power_of_2(hidden)
    few = tokens <= FEW_TOKENS
    normed = torch.empty(tokens, hidden, dtype=x.dtype, device=x.device) if few else rms_norm(x, norm, eps)
    if few and experts * hidden <= ONE_PROGRAM_WEIGHTS:
        route_token[(tokens,)](
            x, norm, weight, bias, row_sequences, normed, chosen, weights, x.stride(0), hidden, experts, eps,
            CHOICES=k, CHOICE_WIDTH=choice_width, NO_EXPERT=NO_EXPERT, EXPERTS=width, WIDTH=hidden_width,
            COLUMNS=max(16, BLOCK_WEIGHTS // width), STAGES=4, num_warps=8,
        )  # fmt: skip
        return normed, chosen, weights
    if few:
        logits = x.new_empty(tokens, experts)
        router_logits[(tokens, triton.cdiv(experts, ROWS))](
            x, norm, weight, bias, normed, logits, x.stride(0), hidden, experts, eps,
            ROWS=ROWS, WIDTH=hidden_width, num_warps=8,
        )  # fmt: skip
    else:
        logits = functional.linear(normed, weight, bias)
    choose_experts[(tokens,)](
        logits, row_sequences, chosen, weights, experts,
        CHOICES=k, CHOICE_WIDTH=choice_width, NO_EXPERT=NO_EXPERT, EXPERTS=width, num_warps=8,
    )  # fmt: skip
    return normed, chosen, weights
