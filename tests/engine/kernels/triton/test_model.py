"""A whole model with the experts' kernels, in Triton's interpreter, against the same model with the references."""

from dataclasses import replace

import torch

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.checkpoint.dummy import fill_random
from engine.kernels.table import REFERENCE, Ops
from engine.kernels.triton.experts import mix_experts, prepare_experts
from engine.kernels.triton.repack import TiledProduct
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.model.weights import Weights, empty_weights
from engine.plan import Chunk
from engine.runner.batch import build_batch
from tests.checkpoints import small_config

CONFIG = small_config()
CPU = torch.device("cpu")


def random_weights() -> Weights:
    weights = empty_weights(CONFIG, "mxfp4", "float32", CPU)
    fill_random(weights, 3)
    return weights


def hidden_states(ops: Ops) -> torch.Tensor:
    model = GptOss(CONFIG, random_weights(), ops)
    caches = RollingCache(CONFIG, 1, torch.float32, CPU), PagedCache(CONFIG, 2, 16, torch.float32, CPU)
    chunk = Chunk("", tuple(range(7)), 0, 0, (0, 1), True)
    return model.forward(
        build_batch([chunk], CONFIG.window, 16, RotaryTable(CONFIG.rope, CONFIG.head_dim, CPU), CPU), *caches
    )


def test_the_model_is_the_same() -> None:
    kernels = replace(REFERENCE, mix_experts=mix_experts, prepare_experts=prepare_experts)
    torch.testing.assert_close(hidden_states(kernels), hidden_states(REFERENCE), rtol=1e-4, atol=1e-4)


def test_the_published_layout_is_freed() -> None:
    weights = random_weights()
    kernels = replace(REFERENCE, mix_experts=mix_experts, prepare_experts=prepare_experts)
    model = GptOss(CONFIG, weights, kernels.with_resident_experts())
    assert isinstance(model.layers[0].gate_up, TiledProduct)
    assert model.layers[0].gate_up.resident is not None
    assert not [name for name in weights if name.endswith((".blocks", ".scales"))]
