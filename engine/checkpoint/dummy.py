"""Random weights from a config alone, to measure a model without its checkpoint."""

import math

import torch
from torch import Tensor

from engine.model.weights import MXFP4_BLOCK, Weights

PATTERN = 1_048_573
"""Numbers drawn per tensor, then repeated: drawing all of a 120b's would take minutes. A prime, so that the
rows of a matrix differ."""
FP4_SPREAD = 2.93
"""Standard deviation of a random nibble's value: sqrt((0 + 0.25 + 1 + 2.25 + 4 + 9 + 16 + 36) / 8)."""

FP8_SPREAD = 80.0
"""Standard deviation of an fp8 matrix's numbers: hardly any exceeds e4m3's 448, and those are clamped to it."""


def fill_random(weights: Weights, seed: int) -> None:
    """Fills `weights` in place, on their device; one seed gives the same numbers every time on one kind of
    device.

    Norms are 1, embeddings and sinks have spread 1, biases 0.02, and a product's matrix 1 / sqrt(columns), whether
    packed, in fp8 or dense, so that it keeps the spread of its input.
    """
    for index, name in enumerate(sorted(weights)):
        tensor = weights[name]
        generator = torch.Generator(tensor.device).manual_seed((seed * len(weights) + index) % 2**63)
        kind = name.rpartition(".")[2]
        count = min(PATTERN, tensor.numel())
        if kind.endswith("norm"):
            tensor.fill_(1.0)
        elif kind == "scales":
            columns = tensor.shape[-1] * MXFP4_BLOCK
            exponent = round(-math.log2(FP4_SPREAD * math.sqrt(columns)))
            tensor.fill_(127 + exponent)
        elif kind == "row_scales":
            columns = weights[name.removesuffix(kind) + "values"].shape[-1]
            tensor.fill_(columns**-0.5 / FP8_SPREAD)
        elif kind == "blocks":
            fill_repeating(
                tensor,
                torch.randint(256, (count,), generator=generator, device=tensor.device, dtype=torch.uint8),
            )
        else:
            spread = {"embedding": 1.0, "sinks": 1.0, "bias": 0.02, "values": FP8_SPREAD}.get(
                kind, tensor.shape[-1] ** -0.5
            )
            numbers = torch.randn(count, generator=generator, device=tensor.device) * spread
            most = torch.finfo(tensor.dtype).max
            fill_repeating(tensor, numbers.clamp_(-most, most))


def fill_repeating(tensor: Tensor, pattern: Tensor) -> None:
    """Writes `pattern` repeatedly, doubling the written part each time.

    >>> counted = torch.empty(7)
    >>> fill_repeating(counted, torch.tensor([1.0, 2.0, 3.0]))
    >>> counted.tolist()
    [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    """
    flat = tensor.view(-1)
    done = min(len(pattern), len(flat))
    flat[:done] = pattern[:done]
    while done < len(flat):
        count = min(done, len(flat) - done)
        flat[done : done + count] = flat[:count]
        done += count
