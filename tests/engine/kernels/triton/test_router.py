"""The router's kernels in Triton's interpreter against the reference."""

from dataclasses import replace

import pytest
import torch

from engine.kernels.router import NO_EXPERT
from engine.kernels.router import route as reference
from engine.kernels.triton import norm_linear, router
from engine.kernels.triton.router import route
from tests.engine.kernels.triton.ahead import Kernel, compile_ahead
from tests.engine.kernels.triton.launches import record_launches


@pytest.mark.parametrize("one_program", [True, False])
@pytest.mark.parametrize(
    ("tokens", "hidden", "experts", "k"),
    [
        (1, 64, 5, 1),
        (3, 96, 32, 4),
        (7, 160, 128, 4),
        (2, 80, 3, 3),
        (2, 48, 1, 1),
        (33, 96, 32, 4),  # more than a few
        (40, 80, 100, 3),
    ],
)
def test_the_choice_is_the_references(
    monkeypatch: pytest.MonkeyPatch, tokens: int, hidden: int, experts: int, k: int, one_program: bool
) -> None:
    monkeypatch.setattr(router, "ONE_PROGRAM_WEIGHTS", experts * hidden * one_program)
    torch.manual_seed(hidden)
    x = 3 * torch.randn(tokens, 2 * hidden)[:, :hidden]
    inputs = torch.rand(hidden) + 0.5, 1e-5, torch.randn(experts, hidden), torch.randn(experts), k
    normed, chosen, weights = route(x, *inputs)
    want_normed, want_chosen, want_weights = reference(x, *inputs)
    torch.testing.assert_close(normed, want_normed)
    assert torch.equal(chosen, want_chosen)
    torch.testing.assert_close(weights, want_weights, rtol=1e-4, atol=1e-5)
    assert normed.is_contiguous()


@pytest.mark.parametrize("most_weights", [0, 2**17])
def test_equal_logits_choose_the_lowest_experts(monkeypatch: pytest.MonkeyPatch, most_weights: int) -> None:
    monkeypatch.setattr(router, "ONE_PROGRAM_WEIGHTS", most_weights)
    _, chosen, weights = route(torch.ones(1, 32), torch.ones(32), 1e-5, torch.zeros(6, 32), torch.zeros(6), 4)
    assert chosen.tolist() == [[0, 1, 2, 3]]
    assert weights.tolist() == [[0.25] * 4]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("most_weights", [0, 2**17])
def test_a_token_that_is_not_finite_goes_to_experts_that_there_are(
    monkeypatch: pytest.MonkeyPatch, most_weights: int
) -> None:
    """And shows: its weights are not numbers. Its neighbour's are."""
    monkeypatch.setattr(router, "ONE_PROGRAM_WEIGHTS", most_weights)
    x = torch.ones(2, 32)
    x[0, 3] = torch.nan
    _, chosen, weights = route(x, torch.ones(32), 1e-5, torch.randn(6, 32), torch.zeros(6), 4)
    assert chosen[0].tolist() == [0, 1, 2, 3]
    assert weights[0].isnan().all()
    assert weights[1].isfinite().all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("most_weights", [0, 2**17])
def test_a_damaged_router_shows(monkeypatch: pytest.MonkeyPatch, most_weights: int) -> None:
    monkeypatch.setattr(router, "ONE_PROGRAM_WEIGHTS", most_weights)
    bias = torch.zeros(6)
    bias[4] = torch.nan
    inputs = torch.ones(2, 32), torch.ones(32), 1e-5, torch.randn(6, 32), bias, 3
    for _, chosen, weights in route(*inputs), reference(*inputs):
        assert chosen[:, 0].tolist() == [4, 4]
        assert weights.isnan().all()


@pytest.mark.parametrize("most_weights", [0, 2**17])
@pytest.mark.parametrize("tokens", [4, router.FEW_TOKENS + 1])
def test_a_row_of_padding_chooses_no_expert(monkeypatch: pytest.MonkeyPatch, tokens: int, most_weights: int) -> None:
    monkeypatch.setattr(router, "ONE_PROGRAM_WEIGHTS", most_weights)
    torch.manual_seed(tokens)
    inputs = torch.randn(tokens, 32), torch.ones(32), 1e-5, torch.randn(6, 32), torch.randn(6), 4
    sequences = torch.arange(tokens, dtype=torch.int32)
    sequences[[1, -1]] = -1
    _, want, want_weights = route(*inputs)
    for chooses in route, reference:
        _, chosen, weights = chooses(*inputs, sequences)
        assert (chosen[sequences < 0] == NO_EXPERT).all()
        assert torch.equal(chosen[sequences >= 0], want[sequences >= 0])
        torch.testing.assert_close(weights[sequences >= 0], want_weights[sequences >= 0], rtol=1e-4, atol=1e-5)


def launches(tokens: int, experts: int) -> list[Kernel]:
    x = torch.empty(tokens, 2880, dtype=torch.bfloat16, device="meta")
    norm = torch.empty(2880, device="meta")
    weight = torch.empty(experts, 2880, dtype=torch.bfloat16, device="meta")
    sequences = torch.empty(tokens, dtype=torch.int32, device="meta")
    return record_launches(
        lambda: route(x, norm, 1e-5, weight, weight[:, 0].contiguous(), 4, sequences), router, norm_linear
    )


@pytest.mark.parametrize(
    ("tokens", "experts", "kernels"),
    [
        (32, 32, ["route_token"]),
        (32, 128, ["router_logits", "choose_experts"]),
        (33, 32, ["rms_norm_kernel", "choose_experts"]),
        (8192, 128, ["rms_norm_kernel", "choose_experts"]),
    ],
)
def test_the_launches_of_few_and_many_tokens(tokens: int, experts: int, kernels: list[str]) -> None:
    """Beside them there is the vendor library's product of many tokens; whatever their number they are the same."""
    assert [launch.name.split(":")[1] for launch in launches(tokens, experts)] == kernels
    assert launches(tokens, experts) == launches(tokens + 16 if tokens > 32 else tokens - 16, experts)


def test_nothing_spills() -> None:
    first = [*launches(1, 32), *launches(1, 128), *launches(33, 32), *launches(33, 128)]
    on_each = [replace(launch, capability=capability) for launch in first for capability in (80, 90, 100)]
    binaries = compile_ahead(on_each)
    assert [binary.spills for binary in binaries] == [0] * 21
    assert all(binary.count("LDGSTS") > 0 for binary in binaries[:3])
