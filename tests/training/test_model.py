import torch
from torch import nn

from training.config import Shape
from training.model import GptOss, attention_mask, rotary_frequencies


def test_the_worked_example_of_the_attention_mask() -> None:
    assert attention_mask(4, window=2)[3].tolist() == [False, False, True, True]
    assert attention_mask(4, window=None).tolist() == torch.ones(4, 4).tril().bool().tolist()


def test_a_factor_of_one_is_plain_rotary_embedding() -> None:
    frequencies, concentration = rotary_frequencies(Shape(rope_factor=1.0, head_dim=8, rope_theta=10_000.0))
    assert torch.allclose(frequencies, torch.tensor([1.0, 0.1, 0.01, 0.001]))
    assert concentration == 1.0


def test_yarn_keeps_fast_dimensions_and_slows_slow_ones() -> None:
    plain, _ = rotary_frequencies(Shape(rope_factor=1.0))
    stretched, concentration = rotary_frequencies(Shape(rope_factor=8.0))
    assert stretched[0] == plain[0]
    assert torch.allclose(stretched[-1], plain[-1] / 8)
    assert (stretched.diff() < 0).all()
    assert concentration > 1.0


def test_every_parameter_learns(random_model: GptOss) -> None:
    ids = torch.randint(0, random_model.shape.vocab_size, (2, 24), generator=torch.Generator().manual_seed(0))
    logits, imbalance = random_model(ids)
    nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten()).add(imbalance).backward()
    still = [name for name, p in random_model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_even_routing_has_no_imbalance_to_pay_for(random_model: GptOss) -> None:
    layer = random_model.model.layers[0]
    with torch.no_grad():
        layer.mlp.router.weight.zero_()
        layer.mlp.router.bias.zero_()
    _, imbalance = layer.mlp(torch.randn(1, 4, random_model.shape.hidden_size))
    assert torch.allclose(imbalance, torch.tensor(1.0))
