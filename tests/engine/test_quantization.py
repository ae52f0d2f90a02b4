"""`--quantization fp8`: the model is that of the rounded weights, and how far its answers move from the exact ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.checkpoint.load import load_weights
from engine.checkpoint.verify import verify_checkpoint
from engine.config import Dtype, ModelConfig, Quantization
from engine.kernels.fp8_matrix import Fp8Matrix, quantize
from engine.kernels.table import DETERMINISTIC, REFERENCE, Ops
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.model.weights import empty_weights
from engine.plan import Chunk
from engine.request import Request, SamplingParams
from engine.runner.batch import build_batch
from tests.checkpoints import small_config, write_checkpoint
from tests.engines import build_engine, run, tokens

CPU = torch.device("cpu")
PROMPT = tuple(torch.randint(0, 150, (60,), generator=torch.Generator().manual_seed(0)).tolist())
CONFIG = small_config()


def load(
    directory: Path, config: ModelConfig, quantization: Quantization, dtype: Dtype = "float32", ops: Ops = REFERENCE
) -> GptOss:
    manifest = verify_checkpoint(directory, config)
    weights = empty_weights(config, manifest.experts, dtype, CPU, quantization)
    load_weights(manifest, weights, lambda done, total: None)
    return GptOss(config, weights, ops)


def rounded(model: GptOss) -> GptOss:
    """The exact model with its matrices rounded to what fp8 holds of them, dense."""

    def dense(matrix: Tensor | Fp8Matrix) -> Tensor:
        assert isinstance(matrix, Tensor)
        return quantize(matrix).dense(matrix.dtype)

    model.unembedding = dense(model.unembedding)
    model.layers = [
        replace(layer, qkv_weight=dense(layer.qkv_weight), out_weight=dense(layer.out_weight)) for layer in model.layers
    ]
    return model


def log_probabilities(model: GptOss) -> Tensor:
    """Of every next token of the prompt."""
    config, dtype = model.config, model.embedding.dtype
    rings, pages = RollingCache(config, 1, dtype, CPU), PagedCache(config, 8, 8, dtype, CPU)
    rotary = RotaryTable(config.rope, config.head_dim, CPU)
    chunk = Chunk("", PROMPT, 0, 0, tuple(range(8)), True)
    hidden = model.forward(build_batch([chunk], config.window, 8, rotary, CPU), rings, pages)
    return model.logits(hidden).log_softmax(dim=-1)


@pytest.mark.parametrize("ops", [REFERENCE, DETERMINISTIC], ids=["reference", "deterministic"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("layout", ["huggingface", "openai"])
def test_the_model_is_that_of_the_rounded_weights(tmp_path: Path, layout: Any, tied: bool, ops: Ops) -> None:
    config = replace(CONFIG, tie_word_embeddings=tied)
    if tied and layout == "openai":
        config = replace(config, tie_word_embeddings=False)
    directory = write_checkpoint(tmp_path, config, layout)
    ours = load(directory, config, "fp8", ops=ops)
    assert isinstance(ours.unembedding, Fp8Matrix)
    assert isinstance(ours.layers[0].qkv_weight, Fp8Matrix)
    got, want = log_probabilities(ours), log_probabilities(rounded(load(directory, config, "none")))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)
    assert (got - log_probabilities(load(directory, config, "none"))).abs().max() > 1e-2


def test_the_answers_stay_near_those_of_the_exact_weights(tmp_path: Path) -> None:
    """Experts are near alike to a random router: where fp8 chooses another, a token moves far more than most."""
    directory = write_checkpoint(tmp_path, small_config(hidden_size=128, head_dim=32))
    config = small_config(hidden_size=128, head_dim=32)
    exact, near = (log_probabilities(load(directory, config, kind, "bfloat16")) for kind in ("none", "fp8"))
    divergence = (exact.exp() * (exact - near)).sum(dim=-1)
    print(f"KL of fp8 weights against bf16: median {divergence.median():.1e}, mean {divergence.mean():.1e}")
    assert 0 < divergence.median() < 4e-2


@pytest.mark.parametrize("deterministic", [False, True])
def test_chunks_and_batches_preserve_the_answers(tmp_path: Path, deterministic: bool) -> None:
    directory = write_checkpoint(tmp_path, CONFIG)
    sampling = SamplingParams(max_tokens=12, logprobs=0, seed=1)
    requests = [Request(id=str(n), prompt_token_ids=PROMPT[n:], sampling=sampling) for n in range(3)]

    def values(limit: int, asked: list[Request]) -> dict[str, list[float]]:
        engine = build_engine(directory, quantization="fp8", deterministic=deterministic, max_num_batched_tokens=limit)
        return {
            name: [*tokens(events), *(entry.logprob for event in events for entry in event.logprobs)]
            for name, events in run(engine, asked).items()
        }

    together = values(7, requests)
    alone = {request.id: values(256, [request])[request.id] for request in requests}
    tolerance = 0 if deterministic else 1e-4
    for name, wanted in alone.items():
        assert together[name] == pytest.approx(wanted, abs=tolerance, rel=tolerance)
