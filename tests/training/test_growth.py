from dataclasses import replace

import pytest
import torch

from tests.training.conftest import TINY
from training.config import TrainingConfig
from training.growth import grown
from training.loop import new_state
from training.model import GptOss

IDS = torch.randint(0, TINY.vocab_size, (2, 40), generator=torch.Generator().manual_seed(0))


def test_a_grown_model_says_what_it_said_before(random_model: GptOss) -> None:
    model = grown(random_model, replace(TINY, num_layers=7))
    assert len(model.model.layers) == 7
    assert torch.equal(model(IDS)[0], random_model(IDS)[0])


def test_with_twice_the_heads_it_says_what_it_said_before(random_model: GptOss) -> None:
    model = grown(random_model, replace(TINY, num_heads=12, num_kv_heads=4))
    assert len(model.model.layers[0].self_attn.sinks) == 12
    assert torch.allclose(model(IDS)[0], random_model(IDS)[0], atol=1e-4)


def test_a_wider_one_says_what_it_said_before(random_model: GptOss) -> None:
    model = grown(random_model, replace(TINY, hidden_size=96))
    assert model.lm_head.in_features == 96
    assert torch.allclose(model(IDS)[0], random_model(IDS)[0], atol=1e-2)


def test_it_grows_in_all_ways_at_once(random_model: GptOss) -> None:
    model = grown(random_model, replace(TINY, hidden_size=128, num_heads=12, num_kv_heads=4, num_layers=5))
    assert torch.allclose(model(IDS)[0], random_model(IDS)[0], atol=1e-2)


def test_the_new_heads_are_the_old_ones_again_but_silent(random_model: GptOss) -> None:
    old = random_model.state_dict()
    new = grown(random_model, replace(TINY, num_heads=12, num_kv_heads=4)).state_dict()
    for name in ("q_proj.weight", "k_proj.bias", "v_proj.weight", "sinks"):
        first, second = new[f"model.layers.1.self_attn.{name}"].chunk(2)
        assert torch.equal(first, old[f"model.layers.1.self_attn.{name}"])
        assert torch.equal(second, first)
    assert not new["model.layers.1.self_attn.o_proj.weight"].chunk(2, 1)[1].any()


def test_the_new_layers_are_the_last_two_again_but_silent(random_model: GptOss) -> None:
    weights = grown(random_model, replace(TINY, num_layers=7)).state_dict()
    for new, old in ((3, 1), (4, 2), (5, 1), (6, 2)):
        for name in ("self_attn.q_proj.weight", "mlp.experts.gate_up_proj", "mlp.router.bias"):
            assert torch.equal(weights[f"model.layers.{new}.{name}"], weights[f"model.layers.{old}.{name}"])
        for name in ("self_attn.o_proj.weight", "mlp.experts.down_proj", "mlp.experts.down_proj_bias"):
            assert not weights[f"model.layers.{new}.{name}"].any()


def test_the_new_layers_learn_to_speak(random_model: GptOss) -> None:
    model = grown(random_model, replace(TINY, num_layers=5))
    model(IDS)[0].logsumexp(-1).sum().backward()
    gradient = model.model.layers[4].mlp.experts.down_proj.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("layers", [1, 4])
def test_a_layer_keeps_its_kind(random_model: GptOss, layers: int) -> None:
    with pytest.raises(ValueError, match=f"3 layers cannot grow to {layers}"):
        grown(random_model, replace(TINY, num_layers=layers))


def test_other_sizes_do_not_grow(random_model: GptOss) -> None:
    with pytest.raises(ValueError, match="another shape"):
        grown(random_model, replace(TINY, num_layers=5, vocab_size=500))


def test_a_run_begins_with_the_weights_that_it_is_given(random_model: GptOss, tiny_config: TrainingConfig) -> None:
    config = replace(tiny_config, shape=replace(TINY, num_layers=5))
    assert torch.equal(new_state(config, random_model).model(IDS)[0], random_model(IDS)[0])
    assert not torch.equal(new_state(config).model(IDS)[0], random_model(IDS)[0])
