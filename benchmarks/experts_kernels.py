"""The experts' kernels and the router at gpt-oss' shapes: their errors, and their times beside the floor.

A batch's floor is the larger of the times of reading every touched expert's published bytes once (the resident copy's
bfloat16 ones) and of multiplying its tokens. Activations are left out, so the floor of large batches is a little low.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.device import Speeds, attempt, cold_copies, differing, relative_error, timed
from benchmarks.shapes import Shapes
from engine.config import ModelConfig
from engine.kernels.experts import ExpertProduct
from engine.kernels.experts import mix_experts as reference
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.router import route as route_reference
from engine.kernels.triton import experts as kernels
from engine.kernels.triton import router
from engine.kernels.triton.repack import DenseProduct, KernelProduct, TiledProduct
from engine.model.weights import TORCH_DTYPES

ROUTES = 8
"""Different choices of experts that are timed together."""
SETS = 2
"""Sets of weights, used in turn, so that no call finds the weights of the call before in the device's cache."""
PROMPT = 1024
"""From this many tokens on, the products dominate the time, and one call is enough."""

Products = tuple[ExpertProduct, ExpertProduct]
Mix = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def random_product(count: int, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> ExpertProduct:
    """A product with the spread of a trained matrix: outputs are as large as inputs."""
    blocks = torch.randint(256, (count, rows, columns // 32, 16), dtype=torch.uint8, device=device)
    scales = torch.randint(119, 121, (count, rows, columns // 32), dtype=torch.uint8, device=device)
    return ExpertProduct(Mxfp4(blocks, scales), 0.02 * torch.randn(count, rows, device=device).to(dtype))


def random_experts(shapes: Shapes, count: int, device: torch.device) -> Products:
    hidden, inner, dtype = shapes.model.hidden_size, shapes.model.intermediate_size, TORCH_DTYPES[shapes.dtype]
    return random_product(count, 2 * inner, hidden, dtype, device), random_product(count, hidden, inner, dtype, device)


def random_routes(shapes: Shapes, tokens: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    logits, experts = torch.randn(tokens, count, device=device).topk(shapes.model.experts_per_token)
    return experts, logits.softmax(dim=-1).to(TORCH_DTYPES[shapes.dtype])


def routes_of_calls(shapes: Shapes, tokens: int, count: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Experts and weights of calls that are timed together. One token's experts nearly fit in the device's cache, so
    its calls use different experts each time, as long as there are any."""
    routes = [random_routes(shapes, tokens, count, device) for _ in range(ROUTES if tokens < PROMPT else 1)]
    if tokens > 1:
        return routes
    choices = shapes.model.experts_per_token
    rounds = -(-ROUTES * choices // count)
    shuffled = torch.cat([torch.randperm(count, device=device) for _ in range(rounds)]).split(choices)
    return [(experts[None], weights) for experts, (_, weights) in zip(shuffled, routes, strict=False)]


def touched_experts(routes: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The mean number of experts of a call."""
    return sum(len(experts.unique()) for experts, _ in routes) / len(routes)


def mixer(model: ModelConfig, gate_up: KernelProduct, down: KernelProduct) -> Mix:
    """The kernels' mix_experts as a function of x, experts, weights and residual."""

    def mix(x: Tensor, experts: Tensor, weights: Tensor, residual: Tensor) -> Tensor:
        return kernels.mix_experts(
            x, experts, weights, gate_up, down, model.swiglu_alpha, model.swiglu_limit, residual
        )  # fmt: skip

    return mix


def lay_out(products: Products) -> tuple[list[TiledProduct], list[DenseProduct]]:
    """The products in the kernels' layout: packed, and their resident copies."""
    tiled = [kernels.prepare_resident_experts(product) for product in products]
    packed = [replace(product, resident=None) for product in tiled if isinstance(product, TiledProduct)]
    dense = [product.resident for product in tiled if isinstance(product, TiledProduct) and product.resident]
    assert len(packed) == len(dense) == len(products)
    return packed, dense


def mixers(model: ModelConfig, packed: Sequence[TiledProduct], dense: Sequence[DenseProduct]) -> dict[str, Mix]:
    """The mixers over the packed experts, and over their resident copy at every batch size."""
    return {"experts": mixer(model, *packed), "resident_experts": mixer(model, *dense)}


def check_experts(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """The relative error of the experts' output against the reference in float32, beside the reference's in bfloat16;
    and how many repetitions differ. The most tokens, whose tile is the largest, come first, then the fewest, whose sums
    are made by the last program to arrive."""
    products = random_experts(shapes, shapes.model.num_experts, device)
    ours = mixers(shapes.model, *lay_out(products))

    def check(mix: Mix, expected: Callable[[], tuple[Sequence[Tensor], Tensor, float]]) -> dict[str, object]:
        inputs, want, reference_error = expected()
        got = mix(*inputs)
        return {
            "error": relative_error(got, want),
            "reference_error": reference_error,
            "differ": differing(partial(mix, *inputs), got, shapes.repeats),
        }

    *others, most = sorted(shapes.checked_tokens)
    for tokens in (most, *others):
        expected = cache(partial(mixed_by_reference, shapes, products, tokens, device))
        for name, mix in ours.items():
            yield from attempt({"kernel": name, "tokens": tokens}, partial(check, mix, expected))


def mixed_by_reference(
    shapes: Shapes, products: Products, tokens: int, device: torch.device
) -> tuple[Sequence[Tensor], Tensor, float]:
    """A mix's random inputs, the reference's result in float32, and its relative error in bfloat16."""
    model = shapes.model
    x = torch.randn(tokens, model.hidden_size, device=device).to(TORCH_DTYPES[shapes.dtype])
    nothing = torch.zeros_like(x)
    experts, weights = random_routes(shapes, tokens, model.num_experts, device)
    gate_up, down = (replace(product, bias=product.bias.float()) for product in products)
    limits = model.swiglu_alpha, model.swiglu_limit
    want = reference(x.float(), experts, weights.float(), gate_up, down, *limits, nothing.float())
    plain = reference(x, experts, weights, *products, *limits, nothing)
    return (x, experts, weights, nothing), want, relative_error(plain, want)


def check_router(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """The share of tokens whose experts are the reference's in float32, beside the reference's in bfloat16."""
    hidden, choices, dtype = shapes.model.hidden_size, shapes.model.experts_per_token, TORCH_DTYPES[shapes.dtype]

    def check(count: int) -> dict[str, object]:
        x = torch.randn(router.FEW_TOKENS, hidden, device=device).to(dtype)
        weight = (torch.randn(count, hidden, device=device) * hidden**-0.5).to(dtype)
        gain, bias = torch.ones(hidden, device=device), torch.randn(count, device=device).to(dtype)
        wide_normed, want, _ = route_reference(x.float(), gain, 1e-5, weight.float(), bias.float(), choices)
        normed, got, _ = router.route(x, gain, 1e-5, weight, bias, choices)
        _, plain, _ = route_reference(x, gain, 1e-5, weight, bias, choices)

        def agree(experts: Tensor) -> float:
            return float((experts.sort(dim=-1).values == want.sort(dim=-1).values).all(dim=-1).float().mean())

        return {
            "same_choice": agree(got),
            "reference_same_choice": agree(plain),
            "normed_error": relative_error(normed, wide_normed),
        }

    for count in shapes.expert_counts:
        yield from attempt({"experts": count}, partial(check, count))


def measure_experts(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """Times packed and resident experts by batch, and last torch's grouped products of the resident copy for the most
    tokens: a capture that fails may leave the process unable to take any other time."""
    model, dtype = shapes.model, TORCH_DTYPES[shapes.dtype]
    grouped = []
    weights = 3 * model.hidden_size * model.intermediate_size
    for count in shapes.expert_counts:
        layouts = [lay_out(random_experts(shapes, count, device)) for _ in range(SETS)]
        sets = [mixers(model, *layout) for layout in layouts]
        for tokens in shapes.expert_tokens:
            x = torch.randn(tokens, model.hidden_size, device=device).to(dtype)
            residual, routes = torch.zeros_like(x), routes_of_calls(shapes, tokens, count, device)
            touched, operations = touched_experts(routes), 2 * weights * tokens * model.experts_per_token
            shape: dict[str, object] = {"experts": count, "tokens": tokens}
            for name in sets[0]:
                moved = touched * weights * (2 if name == "resident_experts" else 17 / 32)
                calls = [partial(sets[i % SETS][name], x, *route, residual) for i, route in enumerate(routes)]
                floor = speeds.floor(moved, operations)
                yield from attempt({"kernel": name, **shape}, partial(timed, calls, device, floor))
            if tokens == max(shapes.expert_tokens):
                floor = speeds.floor(2 * touched * weights, operations)
                grouped.append((shape, partial(measure_grouped, layouts[0][1], x, routes[0][0], floor)))
    for shape, measured in grouped:
        yield from attempt({"kernel": "grouped_mm", **shape}, measured)


def measure_grouped(products: Sequence[DenseProduct], x: Tensor, experts: Tensor, floor: float) -> dict[str, object]:
    """torch's two products of pairs that are already sorted, without biases, SwiGLU and sum: a lower bound for a kernel
    with products as fast."""
    grouped: Callable[..., Any] | None = getattr(functional, "grouped_mm", None)
    if grouped is None:
        return {"left_out": f"torch {torch.__version__} has no grouped_mm"}
    gate_up, down = products
    order = experts.flatten().argsort(stable=True)
    ends = experts.flatten().bincount(minlength=len(gate_up.bias)).cumsum(0).to(torch.int32)
    rows = x[order // experts.shape[1]]
    inside = torch.randn(len(order), down.columns, device=x.device).to(x.dtype)
    pairs = (rows, gate_up.matrix.mT), (inside, down.matrix.mT)

    def multiply() -> None:
        for left, right in pairs:
            grouped(left, right, offs=ends)

    try:
        return timed([multiply], x.device, floor)
    except RuntimeError as error:
        return {"left_out": f"{type(error).__name__}: {error}"}


def measure_router(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    hidden, choices, dtype = shapes.model.hidden_size, shapes.model.experts_per_token, TORCH_DTYPES[shapes.dtype]
    for count in shapes.expert_counts:
        read = count * hidden * dtype.itemsize
        weights = [torch.randn(count, hidden, device=device).to(dtype) for _ in range(cold_copies(read, device))]
        gain, bias = torch.ones(hidden, device=device), torch.randn(count, device=device).to(dtype)
        for tokens in (*shapes.decode_batches, shapes.model_prefill):
            x = torch.randn(tokens, hidden, device=device).to(dtype)
            moved = read + 2 * x.nbytes
            some = weights[: cold_copies(moved, device)]
            calls = [partial(router.route, x, gain, 1e-5, weight, bias, choices) for weight in some]
            floor = speeds.floor(moved, 2 * tokens * count * hidden)
            asked: dict[str, object] = {"kernel": "router", "experts": count, "tokens": tokens}
            yield from attempt(asked, partial(timed, calls, device, floor))
