"""Every number against transformers' GptOssForCausalLM, in float32.

Shapes are chosen to break assumptions: heads that do not fill hidden, an odd number of experts, one expert a token,
every kv head its own group, windows of 8 and 128.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import GptOssConfig, GptOssForCausalLM

from engine.config import ModelConfig, RopeConfig
from engine.request import Request, SamplingParams
from tests.checkpoints import hf_state_dict, passing_directory, write_checkpoint
from tests.engines import build_engine, run, tokens

LAYERS = ("sliding_attention", "full_attention")
YARN = RopeConfig(theta=150000.0, factor=32.0, original_max_position=64)

SHAPES = {
    "window 8, 5 experts, top 1": ModelConfig(
        vocab_size=97,
        hidden_size=64,
        intermediate_size=96,
        num_heads=6,
        num_kv_heads=2,
        head_dim=16,
        num_experts=5,
        experts_per_token=1,
        window=8,
        layer_types=LAYERS * 2,
        max_position=2048,
        rope=YARN,
    ),
    "window 8, 5 experts, top 4": ModelConfig(
        vocab_size=120,
        hidden_size=96,
        intermediate_size=64,
        num_heads=5,
        num_kv_heads=5,
        head_dim=32,
        num_experts=5,
        experts_per_token=4,
        window=8,
        layer_types=(*LAYERS, "full_attention", "sliding_attention", "sliding_attention"),
        max_position=2048,
        rope=YARN,
    ),
    "window 128, 8 experts, top 4": ModelConfig(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=64,
        num_heads=4,
        num_kv_heads=1,
        head_dim=64,
        num_experts=8,
        experts_per_token=4,
        window=128,
        layer_types=LAYERS,
        max_position=2048,
        rope=YARN,
    ),
}
FORMATS = (("huggingface", "mxfp4"), ("huggingface", "dense"), ("openai", "mxfp4"))
CASES = [
    (shape, *form)
    for shape in SHAPES
    for form in FORMATS
    if form[0] != "openai" or set(SHAPES[shape].layer_types[::2]) == {"sliding_attention"}
]
"""OpenAI's layout has no layer types: its layers always alternate."""


@cache
def checkpoint(shape: str, layout: str, experts: str) -> Path:
    directory = passing_directory("checkpoint")
    write_checkpoint(directory, SHAPES[shape], layout=layout, experts=experts, seed=len(shape))
    return directory


@cache
def reference(shape: str, experts: str) -> GptOssForCausalLM:
    """transformers' model of the same weights; both layouts of a shape hold the same."""
    directory = checkpoint(shape, "huggingface", experts)
    config = GptOssConfig.from_pretrained(directory, attn_implementation="eager")
    config.quantization_config = None
    model = GptOssForCausalLM(config).float().eval()
    model.load_state_dict(hf_state_dict(directory), strict=True)
    return model


def prompt(shape: str, length: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(length)
    return tuple(torch.randint(SHAPES[shape].vocab_size, (length,), generator=generator).tolist())


@torch.inference_mode()
def reference_logprobs(shape: str, experts: str, token_ids: tuple[int, ...]) -> torch.Tensor:
    return reference(shape, experts)(torch.tensor([token_ids])).logits[0].log_softmax(dim=-1)


@pytest.mark.parametrize(("shape", "layout", "experts"), CASES)
def test_logprobs_of_every_prompt_position(shape: str, layout: str, experts: str) -> None:
    window = SHAPES[shape].window
    lengths = (window - 1, window, window + 1, 4 * window + 3)
    expected = {length: reference_logprobs(shape, experts, prompt(shape, length)) for length in lengths}
    for chunk in (1, 7, window, window + 1, 4 * window + 3):
        engine = build_engine(
            checkpoint(shape, layout, experts), max_num_seqs=1, max_num_batched_tokens=chunk, page_size=5
        )
        sampling = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=20, logprobs=20)
        requests = [Request(id=str(n), prompt_token_ids=prompt(shape, n), sampling=sampling) for n in lengths]
        for request in requests:
            (event,) = run(engine, [request])[request.id]
            truth = expected[len(request.prompt_token_ids)]
            scored = [*(event.prompt_logprobs or ())[1:], *event.logprobs]
            assert len(scored) == len(truth)
            for entry, row in zip(scored, truth, strict=True):
                assert entry is not None
                ids, values = zip(*entry.top, strict=True)
                assert abs(entry.logprob - row[entry.token_id]) < 1e-4
                assert (torch.tensor(values) - row[list(ids)]).abs().max() < 1e-4
                assert abs(values[-1] - row.topk(20).values[-1]) < 1e-4


@pytest.mark.parametrize(("shape", "layout", "experts"), CASES)
def test_greedy_continuations_of_300_tokens(shape: str, layout: str, experts: str) -> None:
    start = prompt(shape, SHAPES[shape].window + 1)
    expected = reference(shape, experts).generate(
        torch.tensor([start]),
        attention_mask=torch.ones(1, len(start), dtype=torch.int64),
        max_new_tokens=300,
        do_sample=False,
        eos_token_id=-1,
        pad_token_id=0,
    )[0, len(start) :]
    engine = build_engine(checkpoint(shape, layout, experts))
    sampling = SamplingParams(max_tokens=300, temperature=0, ignore_eos=True)
    events = run(engine, [Request(id="a", prompt_token_ids=start, sampling=sampling)])
    assert tokens(events["a"]) == expected.tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_stays_close(shape: str) -> None:
    """The default dtype: the mean distance to float32's log-probabilities is what rounding to 8 bits explains."""
    token_ids = prompt(shape, 4 * SHAPES[shape].window + 3)
    truth = reference_logprobs(shape, "mxfp4", token_ids)
    engine = build_engine(checkpoint(shape, "huggingface", "mxfp4"), dtype="bfloat16", max_num_batched_tokens=50)
    sampling = SamplingParams(max_tokens=0, prompt_logprobs=0)
    (event,) = run(engine, [Request(id="a", prompt_token_ids=token_ids, sampling=sampling)])["a"]
    scored = [entry for entry in event.prompt_logprobs or () if entry is not None]
    distances = [abs(e.logprob - row[e.token_id].item()) for e, row in zip(scored, truth[:-1], strict=True)]
    assert sum(distances) / len(distances) < 0.1
