"""The memory that weights are loaded into."""

import weakref
from dataclasses import replace

import pytest
import torch

from engine.config import ExpertFormat
from engine.kernels.arena import LINE
from engine.kernels.experts import ExpertProduct
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.table import REFERENCE
from engine.model.gpt_oss import GptOss
from engine.model.weights import empty_weights
from tests.checkpoints import small_config


def test_on_a_cpu_they_lie_side_by_side() -> None:
    weights = empty_weights(small_config(), "mxfp4", "bfloat16", "cpu", "fp8")
    assert len({tensor.untyped_storage().data_ptr() for tensor in weights.values()}) == 1
    end = next(iter(weights.values())).data_ptr()
    for tensor in weights.values():
        assert tensor.is_contiguous()
        assert tensor.data_ptr() % LINE == 0
        assert 0 <= tensor.data_ptr() - end < LINE
        end = tensor.data_ptr() + tensor.nbytes


def test_shapes_and_types_are_the_same_without_memory() -> None:
    weights, shapes = (empty_weights(small_config(), "dense", "float32", device) for device in ("cpu", "meta"))
    described = [
        {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} for tensors in (weights, shapes)
    ]
    assert described[0] == described[1]
    assert {tensor.device for tensor in shapes.values()} == {torch.device("meta")}


def test_elsewhere_the_small_ones_come_first() -> None:
    sizes = [tensor.nbytes for tensor in empty_weights(small_config(), "mxfp4", "bfloat16", "meta").values()]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
def test_memory_is_given_back_before_the_next_product_is_made(
    experts: ExpertFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each product, all that it was made of is freed by then."""
    config, given_back, source = small_config(), [], []

    def prepare(product: ExpertProduct) -> ExpertProduct:
        matrix = product.matrix
        parts = [matrix.blocks, matrix.scales] if isinstance(matrix, Mxfp4) else [matrix]
        source.append([weakref.ref(part) for part in parts])
        return ExpertProduct(torch.zeros(1), product.bias)

    def free(device: torch.device) -> None:
        given_back.append(all(part() is None for part in source[-1]))

    monkeypatch.setattr("engine.model.gpt_oss.free_unused", free)
    weights = empty_weights(config, experts, "float32", "meta")
    GptOss(config, weights, replace(REFERENCE, prepare_experts=prepare))
    assert given_back == [True] * 2 * config.num_layers
    assert len(source) == len(given_back)
