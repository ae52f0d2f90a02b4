"""The experts as C++ ops, over MXFP4 in an order of their own or over bfloat16 matrices.

Each expert's rows are read once a step for all its tokens: unpacked in registers for a few tokens, for many some rows
at a time into the caches. Nothing is unpacked in memory.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.kernels.cpu.library import Library
from engine.kernels.cpu.norm_linear import COLUMNS
from engine.kernels.cpu.ordered import OrderedMxfp4, order
from engine.kernels.cpu.router import MOST_CHOSEN
from engine.kernels.experts import ExpertProduct
from engine.kernels.experts import mix_experts as mix_experts_reference
from engine.kernels.mxfp4 import Mxfp4


def prepare_experts(library: Library, product: ExpertProduct) -> ExpertProduct:
    """A product as `mix_experts` wants it; packed blocks are put in order where they lie."""
    matrix = product.matrix
    return ExpertProduct(order(library, matrix), product.bias) if isinstance(matrix, Mxfp4) else product


def mix_experts(
    library: Library,
    x: Tensor,
    experts: Tensor,
    weights: Tensor,
    gate_up: ExpertProduct,
    down: ExpertProduct,
    alpha: float,
    limit: float,
    residual: Tensor,
    otherwise: Callable[..., Tensor] = mix_experts_reference,
) -> Tensor:
    """Takes and gives what the reference does, but products as `prepare_experts` makes them; nothing in between is
    rounded but what goes into the second product. `otherwise` is for shapes that the op does not know."""
    (tokens, hidden), inner, k = x.shape, gate_up.bias.shape[1] // 2, experts.shape[1]
    if hidden % COLUMNS or inner % COLUMNS or k > MOST_CHOSEN:
        return otherwise(x, experts, weights, gate_up, down, alpha, limit, residual)
    x = x.contiguous()
    out = torch.empty_like(x)
    sizes = (tokens, hidden, inner, gate_up.bias.shape[0], k)
    rest = (alpha, limit, residual, out, *sizes)
    first, second = gate_up.matrix, down.matrix
    if isinstance(first, OrderedMxfp4) and isinstance(second, OrderedMxfp4):
        up, back = (first.blocks, first.scales, gate_up.bias), (second.blocks, second.scales, down.bias)
        library.experts_mxfp4(x, experts, weights, *up, *back, *rest)
    else:
        assert isinstance(first, Tensor), "a product that was not prepared"
        assert isinstance(second, Tensor), "a product that was not prepared"
        library.experts_bf16(x, experts, weights, first, gate_up.bias, second, down.bias, *rest)
    return out
