"""The experts' kernels at gpt-oss' shapes: their error, and their times beside the floor.

The floor of a batch is the larger of reading the published bytes of every touched expert once and of multiplying its
tokens; activations are left out, so the floor of large batches is a little low.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks.device import Speeds, graph_seconds
from engine.kernels.experts import ExpertProduct
from engine.kernels.experts import mix_experts as reference
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.triton import experts as kernels
from engine.kernels.triton.repack import KernelProduct
from engine.kernels.triton.routing import Tiles

SIZE = 2880
CHOICES = 4
ALPHA, LIMIT = 1.702, 7.0
BATCHES = 1, 8, 32, 128, 256, 8192
CHECKED_BATCHES = 1, 4, 8, 256, 1000
EXPERT_BYTES = 3 * SIZE * SIZE * 17 // 32
EXPERT_OPERATIONS = 2 * 3 * SIZE * SIZE
"""Of a token."""
ROUTES = 8
"""Different choices of experts, timed together."""


@dataclass(frozen=True)
class Record:
    """One figure. `share` is floor / time."""

    kernel: str
    experts: int
    tokens: int
    microseconds: float
    floor_microseconds: float
    share: float


def random_product(count: int, rows: int, columns: int, device: torch.device) -> ExpertProduct:
    """With the spread of a trained matrix: outputs as large as inputs."""
    blocks = torch.randint(256, (count, rows, columns // 32, 16), dtype=torch.uint8, device=device)
    scales = torch.randint(119, 121, (count, rows, columns // 32), dtype=torch.uint8, device=device)
    return ExpertProduct(Mxfp4(blocks, scales), 0.02 * torch.randn(count, rows, device=device).to(torch.bfloat16))


def random_routes(tokens: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    logits, experts = torch.randn(tokens, count, device=device).topk(CHOICES)
    return experts, logits.softmax(dim=-1).to(torch.bfloat16)


def check_experts(device: torch.device) -> Iterator[dict[str, object]]:
    """The relative error of what the experts add, against the reference in float32, beside the reference's in
    bfloat16."""
    gate_up, down = random_product(32, 2 * SIZE, SIZE, device), random_product(32, SIZE, SIZE, device)
    tiled_gate_up, tiled_down = kernels.prepare_experts(gate_up), kernels.prepare_experts(down)
    wide_gate_up = ExpertProduct(gate_up.matrix, gate_up.bias.float())
    wide_down = ExpertProduct(down.matrix, down.bias.float())
    for tokens in CHECKED_BATCHES:
        x = torch.randn(tokens, SIZE, device=device).to(torch.bfloat16)
        nothing = torch.zeros_like(x)
        experts, weights = random_routes(tokens, 32, device)
        want = reference(
            x.float(), experts, weights.float(), wide_gate_up, wide_down, ALPHA, LIMIT, nothing.float()
        )  # fmt: skip
        got = kernels.mix_experts(x, experts, weights, tiled_gate_up, tiled_down, ALPHA, LIMIT, nothing)
        plain = reference(x, experts, weights, gate_up, down, ALPHA, LIMIT, nothing)
        yield {
            "tokens": tokens,
            "error": relative_error(got, want),
            "reference_error": relative_error(plain, want),
        }


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got.float() - want).norm() / want.norm())


def measure_experts(device: torch.device, speeds: Speeds) -> Iterator[dict[str, object]]:
    for count in 32, 128:
        gate_up = kernels.prepare_experts(random_product(count, 2 * SIZE, SIZE, device))
        down = kernels.prepare_experts(random_product(count, SIZE, SIZE, device))
        for tokens in BATCHES:
            for record in measure_batch(tokens, count, gate_up, down, device, speeds):
                yield asdict(record)


def measure_batch(
    tokens: int, count: int, gate_up: KernelProduct, down: KernelProduct, device: torch.device, speeds: Speeds
) -> Iterator[Record]:
    x = torch.randn(tokens, SIZE, device=device).to(torch.bfloat16)
    routes = [random_routes(tokens, count, device) for _ in range(ROUTES if tokens < 1024 else 1)]
    sorted_routes = [(experts, kernels.tiles_of(experts, count)) for experts, _ in routes]
    arrivals = kernels.make_arrivals(SIZE, device)
    touched = sum(len(experts.unique()) for experts, _ in routes) / len(routes)

    def floor(share: float) -> float:
        """Seconds of this share of the experts' weights."""
        return speeds.floor(share * touched * EXPERT_BYTES, share * tokens * CHOICES * EXPERT_OPERATIONS)

    def mix(experts: Tensor, weights: Tensor) -> Tensor:
        return kernels.mix_experts(x, experts, weights, gate_up, down, ALPHA, LIMIT, x)

    def first(experts: Tensor, tiles: Tiles) -> Tensor:
        return kernels.multiply_gate_up(x, experts, tiles, gate_up, ALPHA, LIMIT, arrivals)

    for kernel, calls, least in (
        ("experts", [lambda route=route: mix(*route) for route in routes], floor(1)),
        ("gate_up", [lambda route=route: first(*route) for route in sorted_routes], floor(2 / 3)),
    ):
        seconds = graph_seconds(calls)
        yield Record(kernel, count, tokens, seconds * 1e6, least * 1e6, least / seconds)
