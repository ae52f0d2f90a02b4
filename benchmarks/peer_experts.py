"""OpenAI's experts' kernels (PyPI: tokenspeed-triton-kernels, module `triton_kernels`) on the same weights and routes.

Only for comparison: the package is not a dependency, and if it is missing or does not run, the record says so. It gets
sorted routes, so its time is that of the two products and the weighted sum alone; ours includes the sorting. It runs in
a process of its own, so that no figure of ours is lost if it breaks the device.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.device import Speeds, relative_error, timed
from benchmarks.experts_kernels import (
    SETS,
    Products,
    random_experts,
    random_routes,
    routes_of_calls,
    touched_experts,
)
from benchmarks.shapes import Shapes
from engine.config import ModelConfig
from engine.kernels.experts import ExpertProduct
from engine.kernels.experts import mix_experts as reference
from engine.kernels.mxfp4 import Mxfp4
from engine.model.weights import TORCH_DTYPES

MISSING = "tokenspeed-triton-kernels is not installed: nothing to compare with"
BLOCK = 32
"""Columns that share an MXFP4 scale."""


Peer = Callable[[Tensor, Tensor, Tensor], Callable[[], Tensor]]
"""Takes x, experts and weights, and returns a function that mixes them on every call."""


def measure(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """Its error, as `check_experts` measures ours, then its times, as in `measure_experts`."""
    if find_spec("triton_kernels") is None:
        yield {"left_out": MISSING}
        return
    try:
        for tokens in shapes.checked_tokens:
            yield {"tokens": tokens, "error": check(shapes, tokens, device)}
        yield from times(shapes, device, speeds)
    except Exception as error:  # Another project's failure is a result.
        yield {"left_out": f"what follows: {type(error).__name__}: {error}"}


def check(shapes: Shapes, tokens: int, device: torch.device) -> float:
    """The relative error against the reference in float32."""
    model = shapes.model
    products = random_experts(shapes, model.num_experts, device)
    x = torch.randn(tokens, model.hidden_size, device=device).to(TORCH_DTYPES[shapes.dtype])
    experts, weights = random_routes(shapes, tokens, model.num_experts, device)
    gate_up, down = (replace(product, bias=product.bias.float()) for product in products)
    limits, nothing = (model.swiglu_alpha, model.swiglu_limit), torch.zeros_like(x, dtype=torch.float32)
    want = reference(x.float(), experts, weights.float(), gate_up, down, *limits, nothing)
    return relative_error(prepare(model, products)(x, experts, weights)(), want)


def times(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    model = shapes.model
    size = 3 * model.hidden_size * model.intermediate_size
    for count in shapes.expert_counts:
        sets = [prepare(model, random_experts(shapes, count, device)) for _ in range(SETS)]
        for tokens in shapes.expert_tokens:
            x = torch.randn(tokens, model.hidden_size, device=device).to(TORCH_DTYPES[shapes.dtype])
            routes = routes_of_calls(shapes, tokens, count, device)
            calls = [sets[i % SETS](x, *route) for i, route in enumerate(routes)]
            moved = touched_experts(routes) * size * 17 / 32
            floor = speeds.floor(moved, 2 * size * tokens * model.experts_per_token)
            shape = {"kernel": "peer_experts", "experts": count, "tokens": tokens}
            yield shape | timed(calls, device, floor)


def prepare(model: ModelConfig, products: Products) -> Peer:
    """A peer with the weights of gate_up and down in its own layout."""
    return mixer(model, *(laid_out(product) for product in products))


def laid_out(product: ExpertProduct) -> tuple[Any, Any, Tensor]:
    """The matrix and its precision for `triton_kernels.matmul`, and the bias: columns are the first dimension."""
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


def mixer(model: ModelConfig, gate_up: tuple[Any, Any, Tensor], down: tuple[Any, Any, Tensor]) -> Peer:
    """Sorts a route and returns a function that multiplies it."""
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
