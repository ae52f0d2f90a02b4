"""The router's kernels in Triton's interpreter against the reference."""

from dataclasses import replace

import pytest
import torch

from engine.kernels.router import route as reference
from engine.kernels.triton import router
from engine.kernels.triton.router import route
from tests.engine.kernels.triton.ahead import compile_ahead
from tests.engine.kernels.triton.launches import record_launches


@pytest.mark.parametrize(
    ("tokens", "hidden", "experts", "k"),
    [(1, 64, 5, 1), (3, 96, 32, 4), (7, 160, 128, 4), (2, 80, 3, 3), (2, 48, 1, 1)],
)
def test_the_choice_is_the_references(tokens: int, hidden: int, experts: int, k: int) -> None:
    torch.manual_seed(hidden)
    x = 3 * torch.randn(tokens, 2 * hidden)[:, :hidden]
    inputs = torch.rand(hidden) + 0.5, 1e-5, torch.randn(experts, hidden), torch.randn(experts), k
    normed, chosen, weights = route(x, *inputs)
    want_normed, want_chosen, want_weights = reference(x, *inputs)
    torch.testing.assert_close(normed, want_normed)
    assert torch.equal(chosen, want_chosen)
    torch.testing.assert_close(weights, want_weights, rtol=1e-4, atol=1e-5)
    assert normed.is_contiguous()


def test_equal_logits_choose_the_lowest_experts() -> None:
    _, chosen, weights = route(torch.ones(1, 32), torch.ones(32), 1e-5, torch.zeros(6, 32), torch.zeros(6), 4)
    assert chosen.tolist() == [[0, 1, 2, 3]]
    assert weights.tolist() == [[0.25] * 4]


def test_many_tokens_go_to_the_reference() -> None:
    x = torch.randn(router.FEW_TOKENS + 1, 32)
    inputs = torch.ones(32), 1e-5, torch.randn(4, 32), torch.randn(4), 2
    for got, want in zip(route(x, *inputs), reference(x, *inputs), strict=True):
        assert torch.equal(got, want)


def test_nothing_spills() -> None:
    x = torch.empty(1, 2880, dtype=torch.bfloat16, device="meta")
    weight = torch.empty(128, 2880, dtype=torch.bfloat16, device="meta")
    norm = torch.empty(2880, device="meta")
    launches = record_launches(lambda: route(x, norm, 1e-5, weight, weight[:, 0], 4), router)
    assert [launch.name.split(":")[1] for launch in launches] == ["router_logits", "choose_experts"]
    on_each = [replace(launch, capability=capability) for launch in launches for capability in (80, 90, 100)]
    assert [binary.spills for binary in compile_ahead(on_each)] == [0] * 6
