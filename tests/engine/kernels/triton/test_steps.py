"""A model over several mixed steps with the attention's and the small ops' kernels, against the references."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.checkpoint.dummy import fill_random
from engine.kernels.table import REFERENCE, Ops, triton_ops
from engine.kernels.triton import paged_attention
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.model.weights import empty_weights
from engine.plan import Chunk
from engine.runner.batch import build_batch
from tests.checkpoints import small_config

CONFIG = small_config(layer_types=("sliding_attention", "full_attention"))
CPU = torch.device("cpu")
PLACES = {"a": (2, (5, 2, 7, 4)), "b": (1, (6, 1))}
"""Ring and pages of each request."""
STEPS = (("a", 0, 19), ("b", 0, 1)), (("b", 1, 11), ("a", 19, 1)), (("a", 20, 1), ("b", 12, 1))
"""Steps of chunks (request, position of the first token, tokens)."""


def outputs_of_steps(ops: Ops, launched: Callable[[], int] = lambda: 0) -> tuple[list[Tensor], list[int]]:
    """Hidden states and logits of every step, and `launched` after each of the two."""
    weights = empty_weights(CONFIG, "mxfp4", "float32", CPU)
    fill_random(weights, 5)
    model = GptOss(CONFIG, weights, ops)
    rings, pages = RollingCache(CONFIG, 3, torch.float32, CPU), PagedCache(CONFIG, 8, 8, torch.float32, CPU)
    for cache in (rings, pages):
        cache.keys.fill_(torch.nan)
        cache.values.fill_(torch.nan)
    rotary = RotaryTable(CONFIG.rope, CONFIG.head_dim, CPU)
    outputs, counts = [], []
    for step in STEPS:
        chunks = [
            Chunk(name, tuple(range(start, start + count)), start, *PLACES[name], True) for name, start, count in step
        ]
        outputs.append(model.forward(build_batch(chunks, CONFIG.window, 8, rotary, CPU), rings, pages))
        counts.append(launched())
        outputs.append(model.logits(outputs[-1][-1:]))
        counts.append(launched())
    return outputs, counts


def test_every_step_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paged_attention, "DECODE_PROGRAMS", 4)
    kernels = replace(triton_ops((9, 0)), mix_experts=REFERENCE.mix_experts, prepare_experts=REFERENCE.prepare_experts)
    for ours, theirs in zip(outputs_of_steps(kernels)[0], outputs_of_steps(REFERENCE)[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_decode_step_launches_six_kernels_for_a_sliding_layer_and_seven_for_a_full_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launches: list[str] = []

    def run(kernel: InterpretedFunction, *args: object, **options: object) -> None:
        launches.append(kernel.fn.__name__)
        interpret(kernel, *args, **options)

    interpret = InterpretedFunction.run
    monkeypatch.setattr(InterpretedFunction, "run", run)
    monkeypatch.setattr(paged_attention, "DECODE_PROGRAMS", 4)
    _, (*_, before, layers, logits) = outputs_of_steps(triton_ops((9, 0)), lambda: len(launches))
    shared = ["few_tokens_linear", "route_token", "gate_up_kernel", "down_kernel"]
    assert launches[before:layers] == [
        "few_tokens_linear", "ring_decode", *shared, "few_tokens_linear", "paged_decode", "combine_splits", *shared
    ]  # fmt: skip
    assert launches[layers:logits] == ["few_tokens_linear"]
