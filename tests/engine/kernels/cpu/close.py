"""How near a bfloat16 result must be to the float32 one: an ulp of the rounded number, and float32's own error."""

import torch
from torch import Tensor

ULP = 2.0**-8


def assert_rounded(given: Tensor, exact: Tensor, roundings: int = 1) -> None:
    """`given` must equal `exact` up to `roundings` roundings to bfloat16, of numbers as large as `exact`'s maximum."""
    assert given.dtype == torch.bfloat16
    error = (given.float() - exact).abs() / exact.abs().max()
    assert error.max() <= roundings * ULP, f"{error.max() / ULP:.2f} ulps"
