"""Random weights: the same for one seed, of a scale that keeps activations sane."""

from typing import Any

import pytest
import torch

from engine.checkpoint import dummy
from engine.checkpoint.dummy import FP4_SPREAD, PATTERN, fill_random, fill_repeating
from engine.kernels.fp8_matrix import Fp8Matrix
from engine.kernels.mxfp4 import unpack
from engine.model.weights import Weights, empty_weights, weight_matrix
from tests.checkpoints import small_config

CONFIG = small_config(vocab_size=3000, hidden_size=256, intermediate_size=128)


def filled(experts: Any, seed: int = 1, config: Any = CONFIG) -> Weights:
    weights = empty_weights(config, experts, "float32", "cpu")
    for tensor in weights.values():
        tensor.fill_(99)
    fill_random(weights, seed)
    return weights


@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
def test_one_seed_gives_one_model(experts: Any) -> None:
    first, again, other = filled(experts), filled(experts), filled(experts, seed=2)
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name]), name
        constant = name.endswith(("norm", "scales"))
        assert torch.equal(tensor, other[name]) == constant, name
    assert not torch.equal(first["layers.0.qkv.weight"], first["layers.1.qkv.weight"])


@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
def test_products_keep_the_spread_of_what_goes_through(experts: Any) -> None:
    weights = filled(experts)
    for name in ("gate_up", "down"):
        if experts == "dense":
            matrix = weights[f"layers.0.{name}.dense"]
        else:
            matrix = unpack(weights[f"layers.0.{name}.blocks"], weights[f"layers.0.{name}.scales"], torch.float32)
        # a power of two is within sqrt(2) of any scale
        assert 0.7 < matrix.std() * matrix.shape[-1] ** 0.5 < 1.42
    qkv = weights["layers.0.qkv.weight"]
    assert (qkv.std() * qkv.shape[-1] ** 0.5).item() == pytest.approx(1, rel=0.05)
    assert weights["embedding"].std().item() == pytest.approx(1, rel=0.05)
    assert weights["norm"].eq(1).all()
    assert weights["layers.0.router.bias"].abs().max() < 0.2


def test_no_fp8_number_is_drawn_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dummy, "FP8_SPREAD", 400.0)
    weights = empty_weights(CONFIG, "mxfp4", "float32", "cpu", "fp8")
    fill_random(weights, 1)
    values = weights["unembedding.values"].float()
    assert values.isfinite().all()
    assert values.abs().max() == 448


def test_fp8_matrices_keep_it_too() -> None:
    weights = empty_weights(CONFIG, "mxfp4", "float32", "cpu", "fp8")
    fill_random(weights, 1)
    for name in ("layers.1.qkv.weight", "layers.1.attention_out.weight", "unembedding"):
        matrix = weight_matrix(weights, name)
        assert isinstance(matrix, Fp8Matrix)
        dense = matrix.dense(torch.float32)
        assert (dense.std() * dense.shape[1] ** 0.5).item() == pytest.approx(1, rel=0.05)


def test_fp4_spread() -> None:
    every_byte = torch.arange(256, dtype=torch.uint8).view(16, 16)
    values = unpack(every_byte, torch.full((16,), 127, dtype=torch.uint8), torch.float32)
    assert values.std(correction=0).item() == pytest.approx(FP4_SPREAD, rel=0.01)


def test_rows_of_a_repeated_pattern_differ() -> None:
    config = small_config(vocab_size=5000, hidden_size=512, layer_types=("full_attention",))
    embedding = filled("dense", config=config)["embedding"]
    assert embedding.numel() > 2 * PATTERN
    assert torch.equal(embedding.flatten()[:100], embedding.flatten()[PATTERN : PATTERN + 100])
    assert len({tuple(row) for row in embedding[:, :4].tolist()}) == 5000


def test_fill_repeating() -> None:
    counted = torch.empty(7)
    fill_repeating(counted, torch.tensor([1.0, 2.0, 3.0]))
    assert counted.tolist() == [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]
    fill_repeating(counted[:2], torch.tensor([8.0, 9.0, 10.0]))
    assert counted.tolist() == [8.0, 9.0, 3.0, 1.0, 2.0, 3.0, 1.0]
