import pytest
import torch
from torch import Tensor

from training.experts import clamped_swiglu, lay_out
from training.model import GptOss


def test_the_worked_example_of_the_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.experts.TILE", 2)
    places, holds, rows = lay_out(torch.tensor([[1, 0], [1, 1]]), 2)
    assert places.tolist() == [2, 0, 3, 4]
    assert holds.tolist() == [1, 4, 0, 2, 3, 4]
    assert rows == [2, 4]


def test_swiglu_is_clamped() -> None:
    both = torch.tensor([[1.0, 9.0, -9.0, 2.0, 9.0, -9.0]])  # Gates 1, 9, -9, ups 2, 9, -9.
    found = clamped_swiglu(both, 1.702, 7.0)
    gates, factors = torch.tensor([1.0, 7.0, -9.0]), torch.tensor([3.0, 8.0, -6.0])
    assert torch.allclose(found[0], factors * gates * torch.sigmoid(1.702 * gates))


def test_gradients_are_those_of_plain_autograd(random_model: GptOss) -> None:
    """The permutation and the affine products bring their own; a difference quotient has neither."""
    layer = random_model.model.layers[0].mlp.experts
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, random_model.shape.hidden_size, generator=generator)
    chosen = torch.tensor([[0, 1], [1, 2], [4, 3], [0, 4], [2, 3], [1, 0]])
    given = (x, torch.rand(6, 2, generator=generator))
    directions = [torch.randn(each.shape, generator=generator) for each in given]

    def along(step: float, turned: int) -> Tensor:
        moved = [each + step * way * (n == turned) for n, (each, way) in enumerate(zip(given, directions, strict=True))]
        return layer(moved[0], chosen, moved[1]).square().sum()

    for n, (each, direction) in enumerate(zip(given, directions, strict=True)):
        each.requires_grad_()
        (slope,) = torch.autograd.grad(along(0.0, n), each)
        with torch.no_grad():
            quotient = (along(1e-3, n) - along(-1e-3, n)).item() / 2e-3
        assert (slope * direction).sum().item() == pytest.approx(quotient, rel=0.02), n


def test_even_routing_has_no_imbalance_to_pay_for(random_model: GptOss) -> None:
    layer = random_model.model.layers[0]
    with torch.no_grad():
        layer.mlp.router.weight.zero_()
        layer.mlp.router.bias.zero_()
    _, imbalance = layer.mlp(torch.randn(4, random_model.shape.hidden_size))
    assert torch.allclose(imbalance, torch.tensor(1.0))
