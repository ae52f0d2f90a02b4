"""The experts' kernels and the router at gpt-oss' shapes: their error, and their times beside the floor.

The floor of a batch is the larger of reading the published bytes of every touched expert once (bfloat16's, of the
resident copy) and of multiplying its tokens; activations are left out, so the floor of large batches is a little low.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from benchmarks import peer_experts
from benchmarks.device import Speeds, cold_copies, figures, relative_error, seconds_a_call
from benchmarks.shapes import Shapes
from engine.config import ModelConfig
from engine.kernels.experts import ExpertProduct
from engine.kernels.experts import mix_experts as reference
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.router import route as route_reference
from engine.kernels.triton import experts as kernels
from engine.kernels.triton import router
from engine.kernels.triton.repack import KernelProduct, TiledProduct
from engine.model.weights import TORCH_DTYPES

ROUTES = 8
"""Different choices of experts, timed together."""

Products = tuple[ExpertProduct, ExpertProduct]
Mix = Callable[[Tensor, Tensor, Tensor], Tensor]


def random_product(count: int, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> ExpertProduct:
    """With the spread of a trained matrix: outputs as large as inputs."""
    blocks = torch.randint(256, (count, rows, columns // 32, 16), dtype=torch.uint8, device=device)
    scales = torch.randint(119, 121, (count, rows, columns // 32), dtype=torch.uint8, device=device)
    return ExpertProduct(Mxfp4(blocks, scales), 0.02 * torch.randn(count, rows, device=device).to(dtype))


def random_experts(shapes: Shapes, count: int, device: torch.device) -> Products:
    hidden, inner, dtype = shapes.model.hidden_size, shapes.model.intermediate_size, TORCH_DTYPES[shapes.dtype]
    return random_product(count, 2 * inner, hidden, dtype, device), random_product(count, hidden, inner, dtype, device)


def random_routes(shapes: Shapes, tokens: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    logits, experts = torch.randn(tokens, count, device=device).topk(shapes.model.experts_per_token)
    return experts, logits.softmax(dim=-1).to(TORCH_DTYPES[shapes.dtype])


def mixer(model: ModelConfig, gate_up: KernelProduct, down: KernelProduct) -> Mix:
    """The kernels' mix_experts of x, experts and weights, without a residual."""

    def mix(x: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        nothing = torch.zeros_like(x)
        return kernels.mix_experts(
            x, experts, weights, gate_up, down, model.swiglu_alpha, model.swiglu_limit, nothing
        )  # fmt: skip

    return mix


def mixers(model: ModelConfig, products: Products) -> dict[str, Mix]:
    """The packed experts, and their resident copy at every batch size."""
    tiled = [kernels.prepare_resident_experts(product) for product in products]
    assert all(isinstance(product, TiledProduct) for product in tiled)
    resident = [product.resident for product in tiled if isinstance(product, TiledProduct)]
    packed = [replace(product, resident=None) for product in tiled if isinstance(product, TiledProduct)]
    dense = [product for product in resident if product is not None]
    return {"experts": mixer(model, *packed), "resident_experts": mixer(model, *dense)}


def check_experts(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """The relative error of what the experts add, against the reference in float32, beside the reference's in
    bfloat16, and beside a peer's where there is one."""
    model, dtype = shapes.model, TORCH_DTYPES[shapes.dtype]
    products = random_experts(shapes, model.num_experts, device)
    ours = mixers(model, products)
    gate_up, down = (replace(product, bias=product.bias.float()) for product in products)
    limits = model.swiglu_alpha, model.swiglu_limit
    for tokens in shapes.checked_tokens:
        x = torch.randn(tokens, model.hidden_size, device=device).to(dtype)
        nothing = torch.zeros_like(x)
        experts, weights = random_routes(shapes, tokens, model.num_experts, device)
        want = reference(x.float(), experts, weights.float(), gate_up, down, *limits, nothing.float())
        plain = reference(x, experts, weights, *products, *limits, nothing)
        record: dict[str, object] = {"tokens": tokens, "reference_error": relative_error(plain, want)}
        for name, mix in ours.items():
            record[f"{name}_error"] = relative_error(mix(x, experts, weights), want)
        yield record | peer_experts.check(model, products, x, experts, weights, want)


def check_router(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """The share of tokens whose experts are the reference's in float32, beside the reference's in bfloat16."""
    hidden, choices, dtype = shapes.model.hidden_size, shapes.model.experts_per_token, TORCH_DTYPES[shapes.dtype]
    for count in shapes.expert_counts:
        x = torch.randn(router.FEW_TOKENS, hidden, device=device).to(dtype)
        weight = (torch.randn(count, hidden, device=device) * hidden**-0.5).to(dtype)
        gain, bias = torch.ones(hidden, device=device), torch.randn(count, device=device).to(dtype)
        wide_normed, want, _ = route_reference(x.float(), gain, 1e-5, weight.float(), bias.float(), choices)
        normed, got, _ = router.route(x, gain, 1e-5, weight, bias, choices)
        _, plain, _ = route_reference(x, gain, 1e-5, weight, bias, choices)

        def agree(experts: Tensor, want: Tensor = want) -> float:
            return float((experts.sort(dim=-1).values == want.sort(dim=-1).values).all(dim=-1).float().mean())

        yield {
            "experts": count,
            "same_choice": agree(got),
            "reference_same_choice": agree(plain),
            "normed_error": relative_error(normed, wide_normed),
        }


def measure_experts(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    """Ours, packed and resident, and a peer's, by batch."""
    model, dtype = shapes.model, TORCH_DTYPES[shapes.dtype]
    for count in shapes.expert_counts:
        products = random_experts(shapes, count, device)
        ours = mixers(model, products)
        peer = peer_experts.prepare(model, products)
        for tokens in shapes.expert_tokens:
            x = torch.randn(tokens, model.hidden_size, device=device).to(dtype)
            routes = [random_routes(shapes, tokens, count, device) for _ in range(ROUTES if tokens < 1024 else 1)]
            touched = sum(len(experts.unique()) for experts, _ in routes) / len(routes)
            weights = 3 * model.hidden_size * model.intermediate_size
            operations = 2 * weights * tokens * model.experts_per_token
            for name, mix in ours.items():
                moved = touched * weights * (2 if name == "resident_experts" else 17 / 32)
                seconds = seconds_a_call([partial(mix, x, *route) for route in routes], device)
                shape = {"kernel": name, "experts": count, "tokens": tokens}
                yield shape | figures(seconds, speeds.floor(moved, operations))
            floor = speeds.floor(touched * weights * 17 / 32, operations)
            yield {"kernel": "peer_experts", "experts": count, "tokens": tokens} | peer.measure(x, routes, floor)


def measure_router(shapes: Shapes, device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    hidden, choices, dtype = shapes.model.hidden_size, shapes.model.experts_per_token, TORCH_DTYPES[shapes.dtype]
    for count in shapes.expert_counts:
        read = count * hidden * dtype.itemsize
        weights = [torch.randn(count, hidden, device=device).to(dtype) for _ in range(cold_copies(read, device))]
        gain, bias = torch.ones(hidden, device=device), torch.randn(count, device=device).to(dtype)
        for tokens in shapes.decode_batches:
            x = torch.randn(tokens, hidden, device=device).to(dtype)
            calls = [partial(router.route, x, gain, 1e-5, weight, bias, choices) for weight in weights]
            seconds = seconds_a_call(calls, device)
            floor = speeds.floor(read + 2 * x.nbytes, 2 * tokens * count * hidden)
            yield {"kernel": "router", "experts": count, "tokens": tokens} | figures(seconds, floor)
