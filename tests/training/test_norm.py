import torch
from torch.nn import functional

from training.norm import Norm


def test_result_and_gradients_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    x, update, target = (torch.randn(6, 8, generator=generator) for _ in range(3))
    x, update = x.requires_grad_(), update.requires_grad_()
    norm = Norm(8, eps=0.1)
    with torch.no_grad():
        norm.weight.normal_(1.0, 0.2, generator=generator)
    plain = functional.rms_norm(x + update, (8,), norm.weight, 0.1)
    total, mine = norm(x, update)
    assert torch.equal(total, x + update)
    assert torch.allclose(mine, plain, atol=1e-6)
    expected = torch.autograd.grad((plain * target).sum(), (x, update, norm.weight))
    found = torch.autograd.grad((mine * target).sum(), (x, update, norm.weight))
    for own, its in zip(found, expected, strict=True):
        assert torch.allclose(own, its, atol=1e-5)
