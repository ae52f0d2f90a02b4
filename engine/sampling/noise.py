"""Randomness that depends on nothing but the request: its seed and how many tokens it has written.

So a seeded request gives the same tokens alone or in any batch, on any device, and after a preemption.
"""

import struct
from hashlib import blake2b

SEED_MASK = 2**64 - 1


def uniform(seed: int, index: int) -> float:
    """The number in [0, 1) that chooses the token at `index` of the answer. 52 bits, so that `u · total < total`."""
    digest = blake2b(struct.pack("<QQ", seed & SEED_MASK, index), digest_size=8).digest()
    return (int.from_bytes(digest) >> 12) * 2.0**-52
