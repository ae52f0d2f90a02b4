import pytest
import torch
from torch import nn

from training.optimizer import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 16), (16, 40), (40, 16), (3, 24, 12)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert values.min() > 0.3
    assert values.max() < 1.5


def test_each_matrix_of_a_stack_is_its_own() -> None:
    stack = torch.randn(4, 12, 20, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(orthogonalised(stack)[2], orthogonalised(stack[2]), atol=0.02)


def test_the_rate_is_the_size_of_an_update() -> None:
    weight = nn.Parameter(torch.zeros(32, 64))
    weight.grad = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=0.01, momentum=0.9, weight_decay=0.0).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.01, rel=0.35)
    assert (weight.detach() * weight.grad).sum() < 0, "downhill"


def test_it_minimises() -> None:
    target = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    weight = nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([weight], lr=0.02, momentum=0.9, weight_decay=0.0)
    for _ in range(200):
        weight.grad = (weight - target).detach()
        optimizer.step()
    assert (weight - target).abs().mean() < 0.1
