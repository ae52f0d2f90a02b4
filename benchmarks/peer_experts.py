"""OpenAI's experts' kernels (PyPI: tokenspeed-triton-kernels, module `triton_kernels`) on the same weights and routes.

Only to measure beside: the package is no dependency, and where it is missing or does not run, the record says so. It is
given its routes sorted, so its time is that of the two products and the weighted sum alone; ours sorts within its time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.device import figures, relative_error, seconds_a_call
from engine.config import ModelConfig
from engine.kernels.experts import ExpertProduct
from engine.kernels.mxfp4 import Mxfp4

MISSING = "tokenspeed-triton-kernels is not installed: nothing to compare with"
BLOCK = 32
"""Columns of an MXFP4 scale."""


@dataclass(frozen=True)
class Peer:
    """`mix(x, experts, weights)` gives what can be called again and again, or `reason` says why it cannot."""

    mix: Callable[[Tensor, Tensor, Tensor], Callable[[], Tensor]] | None
    reason: str

    def measure(self, x: Tensor, routes: Sequence[tuple[Tensor, Tensor]], floor: float) -> dict[str, object]:
        if self.mix is None:
            return {"left_out": self.reason}
        try:
            seconds = seconds_a_call([self.mix(x, *route) for route in routes], x.device)
        except Exception as error:  # Another project's failure is a result, and ours go on.
            return {"left_out": f"{type(error).__name__}: {error}"}
        return figures(seconds, floor)


def prepare(model: ModelConfig, products: tuple[ExpertProduct, ExpertProduct]) -> Peer:
    """The weights of gate_up and down in the peer's own layout."""
    try:
        import triton_kernels
    except ImportError:
        return Peer(None, MISSING)
    try:
        return Peer(mixer(model, *(laid_out(product) for product in products)), triton_kernels.__name__)
    except Exception as error:
        return Peer(None, f"{type(error).__name__}: {error}")


def check(
    model: ModelConfig,
    products: tuple[ExpertProduct, ExpertProduct],
    x: Tensor,
    experts: Tensor,
    weights: Tensor,
    want: Tensor,
) -> dict[str, object]:
    """The peer's relative error, or why there is none."""
    peer = prepare(model, products)
    if peer.mix is None:
        return {"peer_left_out": peer.reason}
    try:
        return {"peer_error": relative_error(peer.mix(x, experts, weights)(), want)}
    except Exception as error:
        return {"peer_left_out": f"{type(error).__name__}: {error}"}


def laid_out(product: ExpertProduct) -> tuple[Any, Any, Tensor]:
    """Matrix and its precision for `triton_kernels.matmul`, and the bias: columns are the products' first dimension."""
    from triton_kernels.matmul import FlexCtx, PrecisionConfig
    from triton_kernels.numerics import InFlexData
    from triton_kernels.tensor import FP4, convert_layout, wrap_torch_tensor
    from triton_kernels.tensor_details import layout

    assert isinstance(product.matrix, Mxfp4)
    values = wrap_torch_tensor(product.matrix.blocks.flatten(2).mT, dtype=FP4)
    scales = wrap_torch_tensor(product.matrix.scales.mT)
    values = convert_layout(values, layout.make_default_matmul_mxfp4_w_layout(mx_axis=-2))
    scales = convert_layout(scales, layout.make_default_matmul_mxfp4_w_scale_layout(mx_axis=-2, num_warps=8))
    flex = FlexCtx(rhs_data=InFlexData())
    return values, PrecisionConfig(b_mx_scale=scales, b_microblock_size=BLOCK, flex_ctx=flex), product.bias.float()


def mixer(
    model: ModelConfig, gate_up: tuple[Any, Any, Tensor], down: tuple[Any, Any, Tensor]
) -> Callable[[Tensor, Tensor, Tensor], Callable[[], Tensor]]:
    """Sorts a route; what it returns multiplies it."""
    from triton_kernels.matmul import FnSpecs, FusedActivation, matmul
    from triton_kernels.reduce import reduce
    from triton_kernels.swiglu import swiglu_fn
    from triton_kernels.tensor import make_ragged_tensor_metadata

    swiglu = FusedActivation(
        FnSpecs("swiglu", swiglu_fn, ("alpha", "limit"), reduction_n=2), (model.swiglu_alpha, model.swiglu_limit)
    )
    count = len(gate_up[2])

    def sort(x: Tensor, experts: Tensor, weights: Tensor) -> Callable[[], Tensor]:
        choices = experts.shape[1]
        order = experts.flatten().argsort(stable=True).int()
        sizes = torch.bincount(experts.flatten(), minlength=count).int()
        rows, tokens = make_ragged_tensor_metadata(sizes, len(order)), order // choices
        shares = weights.flatten()[order.long()].float()
        return partial(multiply, x, rows, tokens, order, shares, choices)

    def multiply(x: Tensor, rows: Any, tokens: Tensor, order: Tensor, shares: Tensor, choices: int) -> Tensor:
        values, precision, bias = gate_up
        inside = matmul(
            x, values, bias, a_ragged_metadata=rows, gather_indx=tokens, precision_config=precision,
            fused_activation=swiglu,
        )  # fmt: skip
        values, precision, bias = down
        out = matmul(
            inside, values, bias, a_ragged_metadata=rows, scatter_indx=order, precision_config=precision, gammas=shares
        )  # fmt: skip
        mixed: Tensor = reduce(out.view(-1, choices, out.shape[-1]), dim=1)[0]
        return mixed

    return sort
