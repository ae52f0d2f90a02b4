"""Keys and values as the caches keep them: as computed, or in float8_e4m3fn (OCP OFP8), half of bfloat16's bytes.

A fresh key is rounded before it is attended to, not only when it is written: a query sees the same numbers whichever
chunk a key arrived in, so chunked = whole holds for every cache. There are no scales; numbers beyond e4m3's range are
clamped to it.
"""

import torch
from torch import Tensor

E4M3_LIMIT = 448.0
"""The largest number of float8_e4m3fn, which has no infinity."""


def as_cached(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The same shape in a cache's dtype, rounded to nearest, ties to even.

    >>> as_cached(torch.tensor([0.3, 17.0, 19.0, -1000.0]), torch.float8_e4m3fn).float().tolist()
    [0.3125, 16.0, 20.0, -448.0]
    """
    if dtype == torch.float8_e4m3fn:
        x = x.clamp(-E4M3_LIMIT, E4M3_LIMIT)
    return x.to(dtype)
