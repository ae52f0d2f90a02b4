"""Keys and values in fp8: how far the answers move, and that chunks and batches do not matter there either."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.checkpoint.dummy import fill_random
from engine.kernels.table import REFERENCE
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.model.weights import empty_weights
from engine.plan import Chunk
from engine.request import Request, SamplingParams, TokenEvent
from engine.runner.batch import build_batch
from tests.checkpoints import small_config, write_checkpoint
from tests.engines import build_engine, run

PROMPT = tuple(torch.randint(0, 150, (60,), generator=torch.Generator().manual_seed(0)).tolist())
CPU = torch.device("cpu")


def log_probabilities(kv_dtype: torch.dtype) -> Tensor:
    """Of every next token of the prompt, read in three chunks."""
    config = small_config(hidden_size=128, head_dim=32)
    weights = empty_weights(config, "mxfp4", "bfloat16", CPU)
    fill_random(weights, 1)
    model = GptOss(config, weights, REFERENCE)
    rings, pages = RollingCache(config, 1, kv_dtype, CPU), PagedCache(config, 8, 8, kv_dtype, CPU)
    rotary = RotaryTable(config.rope, config.head_dim, CPU)
    rows = []
    for start, stop in (0, 23), (23, 59), (59, 60):
        chunk = Chunk("", PROMPT[start:stop], start, 0, tuple(range(8)), True)
        rows.append(model.forward(build_batch([chunk], config.window, 8, rotary, CPU), rings, pages))
    return model.logits(torch.cat(rows)).log_softmax(dim=-1)


def test_the_answers_stay_near_those_of_bfloat16() -> None:
    """The mean is that of a few tokens that go to other experts, which are near alike to a random router."""
    exact, rounded = log_probabilities(torch.bfloat16), log_probabilities(torch.float8_e4m3fn)
    divergence = (exact.exp() * (exact - rounded)).sum(dim=-1)
    median, mean = divergence.median().item(), divergence.mean().item()
    print(f"KL of fp8 keys and values against bf16: median {median:.1e}, mean {mean:.1e}")
    assert 0 < median < 2e-3
    assert mean < 1e-2


@pytest.mark.parametrize("batched_tokens", [7, 16])
def test_chunks_preserve_every_log_probability(tmp_path: Path, batched_tokens: int) -> None:
    directory = write_checkpoint(tmp_path, small_config())

    def scores(limit: int) -> dict[str, list[TokenEvent]]:
        engine = build_engine(directory, kv_cache_dtype="fp8", max_num_batched_tokens=limit)
        sampling = SamplingParams(max_tokens=6, prompt_logprobs=0, logprobs=0, seed=1)
        return run(engine, [Request(id=str(n), prompt_token_ids=PROMPT[n:], sampling=sampling) for n in range(2)])

    def values(events: list[TokenEvent]) -> list[float]:
        prompt = [entry.logprob for e in events for entry in e.prompt_logprobs or () if entry]
        return prompt + [entry.logprob for e in events for entry in e.logprobs]

    whole, chunked = scores(256), scores(batched_tokens)
    for request in whole:
        assert len(values(whole[request])) == len(PROMPT) - int(request) - 1 + 6
        assert values(chunked[request]) == pytest.approx(values(whole[request]), abs=1e-4)
