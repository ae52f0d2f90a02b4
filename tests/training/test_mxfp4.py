import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.mxfp4 import BLOCK, MAGNITUDES, as_stored, pack, round_to_mxfp4, unpack

HALF_A_STEP = 0.25 * 2.0**-127
"""The most that rounding may lose where the scale is the smallest there is: values are 0.5 of it apart."""


def block(*values: float) -> torch.Tensor:
    return torch.tensor([*values, *[0.0] * (BLOCK - len(values))])


def test_the_worked_example_of_the_docstring() -> None:
    blocks, scales = pack(block(0.5, -6.0, 3.0))
    assert scales.tolist() == [127]
    assert blocks[0, :3].tolist() == [0xF1, 0x05, 0x00]


@pytest.mark.parametrize("exponent", [-20, -1, 0, 3])
def test_every_representable_value_survives(exponent: int) -> None:
    values = block(*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)) * 2.0**exponent
    blocks, scales = pack(values)
    assert scales.tolist() == [127 + exponent]
    assert torch.equal(unpack(blocks, scales), values)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0.2, 0.0),
        (0.3, 0.5),
        (1.2, 1.0),
        (1.3, 1.5),
        (2.4, 2.0),
        (2.6, 3.0),
        (4.9, 4.0),
        (5.1, 6.0),
        (-3.6, -4.0),
    ],
)
def test_rounds_to_the_nearest(value: float, rounded: float) -> None:
    assert round_to_mxfp4(block(6.0, value))[1] == rounded


@pytest.mark.parametrize(("largest", "exponent"), [(6.0, 0), (6.01, 1), (3.0, -1), (3.01, 0), (12.0, 1)])
def test_the_scale_is_the_smallest_that_clips_nothing(largest: float, exponent: int) -> None:
    assert pack(block(largest))[1].tolist() == [127 + exponent]


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2 * BLOCK, max_size=2 * BLOCK))
def test_packing_loses_nothing_but_what_rounding_lost(values: list[float]) -> None:
    weight = torch.tensor(values).view(1, 2, BLOCK)
    rounded = round_to_mxfp4(weight)
    blocks, scales = pack(weight)
    assert blocks.shape == (1, 2, 1, BLOCK // 2)
    assert scales.shape == (1, 2, 1)
    assert torch.equal(unpack(blocks, scales), rounded)
    assert torch.equal(round_to_mxfp4(rounded), rounded)
    largest = weight.abs().amax(-1, keepdim=True)
    allowed = (largest / 5).clamp(min=HALF_A_STEP)
    assert ((weight - rounded).abs() <= allowed).all(), "the worst: 5 is the largest and becomes 4"


def test_what_is_below_the_format_becomes_zero() -> None:
    assert round_to_mxfp4(block(3.9657e-43)).eq(0).all()
    assert round_to_mxfp4(block(0.5 * 2.0**-127))[0] == 0.5 * 2.0**-127


def test_the_gradient_passes_through_unchanged() -> None:
    weight = torch.linspace(-1, 1, BLOCK, requires_grad=True)
    slope = torch.arange(BLOCK, dtype=torch.float32)
    (as_stored(weight, torch.float32) * slope).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, slope)
    assert torch.equal(as_stored(weight, torch.float32), round_to_mxfp4(weight))
