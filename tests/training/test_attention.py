import pytest
import torch

from training.attention import attend, attend_window, attention_mask, rotary_frequencies
from training.config import Shape


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


def test_gradients_of_attention_are_those_of_plain_autograd() -> None:
    """The sink as one more key without a value, which autograd works out by itself."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, generator=generator).requires_grad_() for _ in range(3))
    sinks = torch.randn(3, generator=generator).requires_grad_()
    mask = attention_mask(5, 5, None)
    target = torch.randn(2, 3, 5, 4, generator=generator)

    scores = (q * 0.5) @ k.transpose(-1, -2) + mask
    with_sink = torch.cat((scores, sinks.view(1, 3, 1, 1).expand(2, 3, 5, 1)), -1).softmax(-1)
    expected = torch.autograd.grad((with_sink[..., :-1] @ v * target).sum(), (q, k, v, sinks))
    found = torch.autograd.grad((attend(q, k, v, sinks, mask) * target).sum(), (q, k, v, sinks))
    for mine, plain in zip(found, expected, strict=True):
        assert torch.allclose(mine, plain, atol=1e-5)
