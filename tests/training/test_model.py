import pytest
import torch
from torch import nn

from training.config import Shape
from training.model import GptOss, attend, attend_window, attention_mask, rotary_frequencies


def test_the_worked_example_of_the_attention_mask() -> None:
    assert (attention_mask(2, 4, window=2) == 0).tolist() == [[False, True, True, False], [False, False, True, True]]
    assert (attention_mask(4, 4, window=None) == 0).tolist() == torch.ones(4, 4).tril().bool().tolist()


def test_a_sink_takes_its_share_and_gives_nothing() -> None:
    q, k, v = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 3, 4)
    out = attend(q, k, v, torch.tensor([0.0, -1e9]), attention_mask(3, 3, None))
    assert torch.allclose(out[0, 0, :, 0], torch.tensor([1 / 2, 2 / 3, 3 / 4]))
    assert torch.allclose(out[0, 1], torch.ones(3, 4))


@pytest.mark.parametrize("length", [1, 3, 4, 9, 16])
def test_a_window_in_blocks_is_a_window(length: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, length, 8, generator=generator).unbind()
    sinks = torch.randn(3, generator=generator)
    expected = attend(q, k, v, sinks, attention_mask(length, length, 4))
    assert torch.allclose(attend_window(q, k, v, sinks, 4), expected, atol=1e-6)


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


@pytest.mark.parametrize("length", [12, 40])
def test_every_parameter_learns(random_model: GptOss, length: int) -> None:
    ids = torch.randint(0, random_model.shape.vocab_size, (2, length), generator=torch.Generator().manual_seed(0))
    logits, imbalance = random_model(ids)
    nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten()).add(imbalance).backward()
    still = [name for name, p in random_model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_wanted_positions_are_a_selection(random_model: GptOss) -> None:
    ids = torch.randint(0, 400, (2, 10), generator=torch.Generator().manual_seed(0))
    wanted = torch.zeros(2, 10, dtype=torch.bool)
    wanted[0, 3] = wanted[1, 7] = True
    assert torch.allclose(random_model(ids, wanted)[0], random_model(ids)[0][wanted], atol=1e-5)


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
