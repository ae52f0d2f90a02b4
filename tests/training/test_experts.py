import pytest
import torch

from training.experts import ClampedSwiglu, lay_out
from training.model import GptOss


def test_the_worked_example_of_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.experts.TILE", 2)
    places, holds, rows = lay_out(torch.tensor([[1, 0], [1, 1]]), 2)
    assert places.tolist() == [2, 0, 3, 4]
    assert holds.tolist() == [1, 4, 0, 2, 3, 4]
    assert rows == [2, 4]


def test_swiglu_is_clamped_and_its_gradient_is_autograds() -> None:
    both = (torch.randn(20, 12, generator=torch.Generator().manual_seed(0)) * 5).requires_grad_()
    gate, up = both.chunk(2, -1)
    gate, up = gate.clamp(max=7.0), up.clamp(-7.0, 7.0)
    plain = (up + 1) * gate * torch.sigmoid(1.702 * gate)
    found = ClampedSwiglu.apply(both, 1.702, 7.0)  # type: ignore[no-untyped-call]
    assert torch.allclose(found, plain, atol=1e-5)
    weight = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    (expected,) = torch.autograd.grad((plain * weight).sum(), both)
    (mine,) = torch.autograd.grad((found * weight).sum(), both)
    assert torch.allclose(mine, expected, atol=1e-4)
    assert (both.abs() > 7).any(), "some are clamped"


def test_gradients_are_those_of_plain_autograd(random_model: GptOss) -> None:
    """The permutation and the affine products bring their own; a difference quotient has neither."""
    layer = random_model.model.layers[0].mlp.experts
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, random_model.shape.hidden_size, generator=generator)
    chosen = torch.tensor([[0, 1], [1, 2], [4, 3], [0, 4], [2, 3], [1, 0]])
    weights = torch.rand(6, 2, generator=generator)
    x.requires_grad_()
    layer(x, chosen, weights).sum().backward()
    direction = torch.randn(x.shape, generator=generator)
    assert x.grad is not None
    with torch.no_grad():
        step = 1e-3
        slope = (layer(x + step * direction, chosen, weights) - layer(x - step * direction, chosen, weights)).sum()
    assert (x.grad * direction).sum().item() == pytest.approx(slope.item() / (2 * step), rel=0.02)


def test_even_routing_has_no_imbalance_to_pay_for(random_model: GptOss) -> None:
    layer = random_model.model.layers[0]
    with torch.no_grad():
        layer.mlp.router.weight.zero_()
        layer.mlp.router.bias.zero_()
    _, imbalance = layer.mlp(torch.randn(1, 4, random_model.shape.hidden_size))
    assert torch.allclose(imbalance, torch.tensor(1.0))
