"""The small ops at both ends of a step, in C++ against the references."""

import pytest
import torch

from engine.kernels.cpu import vocabulary as ops
from engine.kernels.cpu.library import Library
from engine.kernels.rotary import cos_sin
from engine.kernels.vocabulary import embed, widen


@pytest.mark.parametrize(("tokens", "columns"), [(1, 32), (40, 7)])
def test_embed(library: Library, tokens: int, columns: int) -> None:
    ids, table = torch.randint(0, 99, (tokens,), dtype=torch.int32), torch.randn(99, columns).bfloat16()
    assert ops.embed(library, ids, table).equal(embed(ids, table))


@pytest.mark.parametrize("tokens", [1, 40])
def test_cos_sin(library: Library, tokens: int) -> None:
    positions, frequencies = torch.randint(0, 131_072, (tokens,), dtype=torch.int32), torch.rand(32)
    for ours, theirs in zip(
        ops.cos_sin(library, positions, frequencies, 1.3), cos_sin(positions, frequencies, 1.3), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5), (3, 20_011)])
def test_widen(library: Library, shape: tuple[int, int]) -> None:
    x, out = torch.randn(shape).bfloat16(), torch.empty(shape)
    assert ops.widen(library, x).equal(widen(x))
    assert ops.widen(library, x, out) is out
    assert out.equal(x.float())
