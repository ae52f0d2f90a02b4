import pytest
import torch

from training.attention import Heads, attend, attention_mask, rotary_frequencies, turn
from training.config import Shape


def test_the_worked_example_of_the_attention_mask() -> None:
    assert (attention_mask(2, 4, window=2) == 0).tolist() == [[False, True, True, False], [False, False, True, True]]
    assert (attention_mask(4, 4, window=None) == 0).tolist() == torch.ones(4, 4).tril().bool().tolist()


def test_a_sink_takes_its_share_and_gives_nothing() -> None:
    q, k, v = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 3, 4)
    out = attend(q, k, v, torch.tensor([0.0, -1e9]), None)
    assert torch.allclose(out[0, 0, :, 0], torch.tensor([1 / 2, 2 / 3, 3 / 4]))
    assert torch.allclose(out[0, 1], torch.ones(3, 4))


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


def test_queries_keys_and_values_of_one_product_and_their_gradient() -> None:
    """Four query heads and two of keys and values, each for two queries."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 4 + 2 + 2, 6, generator=generator).requires_grad_()
    cos, sin = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)
    q, k, v = x.transpose(1, 2).split((4, 2, 2), 1)
    plain = (turn(q, cos, sin), turn(k, cos, sin).repeat_interleave(2, 1), v.repeat_interleave(2, 1))
    mine = Heads.apply(x, cos, sin, 4)  # type: ignore[no-untyped-call]
    targets = [torch.randn(2, 4, 5, 6, generator=generator) for _ in range(3)]
    (expected,), (found,) = (
        torch.autograd.grad([(each * target).sum() for each, target in zip(all_three, targets, strict=True)], x)
        for all_three in (plain, mine)
    )
    for own, its in zip(mine, plain, strict=True):
        assert torch.equal(own, its)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("window", [4, None])
@pytest.mark.parametrize("length", [1, 3, 4, 9, 16])
def test_attention_in_blocks_is_what_autograd_makes_of_the_formula(
    length: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sink as one more score without a value."""
    monkeypatch.setattr("training.attention.BLOCK", 3)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 4, generator=generator).requires_grad_() for _ in range(3))
    sinks = torch.randn(3, generator=generator).requires_grad_()
    target = torch.randn(2, 3, length, 4, generator=generator)

    scores = (q * 0.5) @ k.transpose(-1, -2) + attention_mask(length, length, window)
    with_sink = torch.cat((scores, sinks.view(1, 3, 1, 1).expand(2, 3, length, 1)), -1).softmax(-1)
    plain, mine = with_sink[..., :-1] @ v, attend(q, k, v, sinks, window)
    assert torch.allclose(mine, plain, atol=1e-5)
    expected = torch.autograd.grad((plain * target).sum(), (q, k, v, sinks))
    found = torch.autograd.grad((mine * target).sum(), (q, k, v, sinks))
    for own, its in zip(found, expected, strict=True):
        assert torch.allclose(own, its, atol=1e-5)
