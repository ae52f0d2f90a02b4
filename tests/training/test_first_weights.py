import torch

from training.config import Shape
from training.first_weights import Parts, initialise
from training.model import GptOss


def test_the_worked_example_of_the_parts() -> None:
    parts = Parts.of(Shape(hidden_size=224, num_heads=8, num_kv_heads=4))
    widths = [part.stop - part.start for part in (parts.content, *parts.back, parts.said, *parts.far)]
    assert widths == [48, 24, 24, 16, 16, 32, 16, 16, 16, 16]
    assert parts.said.stop == 160
    assert parts.far[3].stop == 224


def test_four_heads_do_not_look_far() -> None:
    parts = Parts.of(Shape(hidden_size=160, num_heads=4, num_kv_heads=2))
    assert parts.said.stop == 160
    assert {part.stop - part.start for part in parts.far} == {0}


def test_it_copies_before_it_has_learnt_anything() -> None:
    """Thirty letters out of forty, and eight of them again: the next one is known from the two before."""
    model = GptOss(Shape())
    initialise(model, seed=0)
    generator = torch.Generator().manual_seed(1)
    letters = torch.randint(60, 100, (16, 30), generator=generator)
    ids = torch.cat((letters, letters[:, 5:13]), 1)
    with torch.no_grad():
        said = model(ids)[0][:, 31:-1].argmax(-1)
    assert (said == ids[:, 32:]).float().mean() > 0.6


def test_the_same_seed_gives_the_same_weights() -> None:
    models = [GptOss(Shape(vocab_size=300)) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        initialise(model, seed)
    one, same, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])
