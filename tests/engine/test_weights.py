"""The memory that weights are loaded into."""

import torch

from engine.kernels.arena import LINE
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
