import torch
from torch import Tensor

from training.config import Shape, TrainingConfig
from training.first_weights import Parts, initialise
from training.loop import new_state
from training.model import GptOss

SHAPE = Shape(vocab_size=300, num_layers=2)
CHANGED = 20


def after_first_layer(model: GptOss, ids: Tensor) -> Tensor:
    found: list[Tensor] = []
    hook = model.model.layers[1].register_forward_pre_hook(lambda _, inputs: found.append(inputs[0] + inputs[1]))
    with torch.no_grad():
        model(ids)
    hook.remove()
    return found[0]


def places_that_change(model: GptOss, parts: tuple[slice, ...]) -> list[int]:
    """How far behind a token that is replaced each part of the residual stream changes most."""
    ids = torch.randint(0, SHAPE.vocab_size, (1, 40), generator=torch.Generator().manual_seed(3))
    other = ids.clone()
    other[0, CHANGED] = (ids[0, CHANGED] + 1) % SHAPE.vocab_size
    change = (after_first_layer(model, other) - after_first_layer(model, ids)).abs()
    return [int(change[CHANGED + 1 :, part].sum(-1).argmax()) + 1 for part in parts]


def test_a_new_model_sees_the_tokens_five_to_eight_places_back() -> None:
    model = GptOss(SHAPE)
    initialise(model, seed=0)
    assert places_that_change(model, Parts.of(SHAPE).far) == [5, 6, 7, 8]


def test_a_model_that_has_grown_sees_them_too() -> None:
    small = Shape(vocab_size=300, num_layers=2, hidden_size=160, num_heads=4, num_kv_heads=2)
    start = GptOss(small)
    initialise(start, seed=0)
    model = new_state(TrainingConfig(shape=SHAPE, bfloat16=False), start).model
    parts = tuple(slice(160 + 16 * i, 176 + 16 * i) for i in range(4))
    assert places_that_change(model, parts) == [5, 6, 7, 8]
