"""How keys and values are rounded for their cache."""

import torch

from engine.kernels.cached import as_cached


def test_what_is_not_finite_stays_visible_in_fp8() -> None:
    given = torch.tensor([torch.nan, torch.inf, -torch.inf, 464.0])
    assert as_cached(given, torch.float8_e4m3fn).float().isnan().tolist() == [True, False, False, False]
    assert as_cached(given, torch.float32)[1].isinf()
