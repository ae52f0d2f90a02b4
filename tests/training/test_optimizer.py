import pytest
import torch
from torch import nn

from training.optimizer import Muon, orthogonalised


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 16), (16, 40), (40, 16), (3, 24, 12)])
def test_singular_values_come_near_one(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrices, dtype))
    assert values.min() > 0.3
    assert values.max() < 1.5


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_each_matrix_of_a_stack_is_its_own(dtype: torch.dtype, error: float) -> None:
    stack = torch.randn(4, 12, 20, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(orthogonalised(stack, dtype)[2], orthogonalised(stack[2], dtype), atol=error)


def test_products_are_in_the_type_that_is_asked_for() -> None:
    matrix = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    exact, *rounded = (orthogonalised(matrix, dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16))
    errors = [(each - exact).abs().max().item() for each in rounded]
    assert errors[0] < 1e-5 < errors[1]


def test_the_rate_is_the_size_of_an_update() -> None:
    weight = nn.Parameter(torch.zeros(32, 64))
    weight.grad = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=0.01, momentum=0.9, weight_decay=0.0, dtype=torch.float32).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.01, rel=0.35)
    assert (weight.detach() * weight.grad).sum() < 0, "downhill"


def test_it_minimises() -> None:
    target = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    weight = nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([weight], lr=0.02, momentum=0.9, weight_decay=0.0, dtype=torch.float32)
    for _ in range(200):
        weight.grad = (weight - target).detach()
        optimizer.step()
    assert (weight - target).abs().mean() < 0.1
