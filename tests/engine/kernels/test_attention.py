"""Attention with sinks against a plain formula, token by token."""

import itertools

import pytest
import torch
from torch import Tensor

from engine.kernels import attention
from engine.kernels.attention import attend
from engine.kernels.rotary import rotate


def by_hand(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, window: int | None) -> Tensor:
    """The formula with loops, in float64."""
    out = torch.empty_like(q, dtype=torch.float64)
    group = q.shape[1] // k.shape[1]
    for i, head in itertools.product(range(len(q)), range(q.shape[1])):
        at = len(k) - len(q) + i
        low = 0 if window is None else max(0, at - window + 1)
        keys, values = k[low : at + 1, head // group].double(), v[low : at + 1, head // group].double()
        weights = torch.exp(keys @ q[i, head].double() / q.shape[2] ** 0.5)
        out[i, head] = weights @ values / (weights.sum() + sinks[head].double().exp())
    return out.float()


@pytest.mark.parametrize("window", [None, 1, 3, 8])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 9), (5, 5), (7, 20)])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (3, 1), (6, 6)])
def test_attend_is_the_formula(window: int | None, queries: int, keys: int, heads: int, kv_heads: int) -> None:
    torch.manual_seed(queries * 100 + keys)
    q, k, v = torch.randn(queries, heads, 8), torch.randn(keys, kv_heads, 8), torch.randn(keys, kv_heads, 8)
    sinks = torch.randn(heads)
    torch.testing.assert_close(attend(q, k, v, sinks, window, keys - queries), by_hand(q, k, v, sinks, window))


@pytest.mark.parametrize("window", [None, 3])
def test_blocks_of_queries_give_the_same(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    q, k, v, sinks = torch.randn(13, 4, 8), torch.randn(30, 2, 8), torch.randn(30, 2, 8), torch.randn(4)
    whole = attend(q, k, v, sinks, window, 17)
    monkeypatch.setattr(attention, "MAX_BLOCK", 4)
    torch.testing.assert_close(attend(q, k, v, sinks, window, 17), whole)


def test_a_great_sink_takes_all_the_weight() -> None:
    q, k, v = torch.ones(1, 1, 2), torch.ones(3, 1, 2), torch.ones(3, 1, 2)
    assert attend(q, k, v, torch.tensor([-1e4]), None, 2).tolist() == [[[1.0, 1.0]]]
    assert attend(q, k, v, torch.tensor([1e4]), None, 2).tolist() == [[[0.0, 0.0]]]


def test_rotation_turns_the_halves() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    quarter = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    assert rotate(x, *quarter).tolist() == [[[-3.0, 2.0, 1.0, 4.0]]]
