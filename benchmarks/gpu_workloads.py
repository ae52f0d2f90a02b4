"""The workloads of `benchmarks.gpu`: for the published models' shapes, and a tiny one that proves the script itself."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.shapes import PUBLISHED, TINY
from engine.config import Dtype, ModelConfig

FEW_REQUESTS = 8


@dataclass(frozen=True)
class Workload:
    """`contexts` and `prefills` are in tokens; `saturated` are requests of (prompt, answer) tokens, `slots` at once;
    `arriving` are prompts that arrive while `beside` requests decode. `steps` are timed with many requests and
    `short_steps` with few. The `peer_…` fields are for the other programs."""

    model: ModelConfig
    batches: tuple[int, ...]
    contexts: tuple[int, ...]
    prefills: tuple[int, ...]
    saturated: tuple[tuple[int, int], ...]
    arriving: tuple[int, ...]
    beside: int
    peer_batches: tuple[int, ...]
    peer_context: int
    peer_prefills: tuple[int, ...]
    slots: int
    max_num_batched_tokens: int
    steps: int
    short_steps: int
    window_seconds: float
    dtype: Dtype = "bfloat16"

    def steps_of(self, requests: int) -> int:
        """How many steps are timed with this many requests."""
        return self.short_steps if requests <= FEW_REQUESTS else self.steps


GPT_OSS_20B = Workload(
    model=PUBLISHED.model,
    batches=(1, 8, 32, 128, 256),
    contexts=(1024, 8192, 32_768, 131_072),
    prefills=(1024, 8192, 32_768, 131_072),
    saturated=((1024, 1024), (8192, 1024)),
    arriving=(1024, 8192),
    beside=32,
    peer_batches=(1, 8, 32, 128, 256),
    peer_context=1024,
    peer_prefills=(1024, 8192),
    slots=256,
    max_num_batched_tokens=8192,
    steps=30,
    short_steps=200,
    window_seconds=12,
)
WORKLOADS = {
    "20b": GPT_OSS_20B,
    "120b": replace(
        GPT_OSS_20B,
        model=replace(
            PUBLISHED.model, num_experts=128, layer_types=("sliding_attention", "full_attention") * 18
        ),
    ),
}  # fmt: skip
SMOKE = Workload(
    model=TINY.model,
    batches=(1, 3),
    contexts=(20, 400, 5000),
    prefills=(16, 40),
    saturated=((12, 6),),
    arriving=(20,),
    beside=2,
    peer_batches=(1, 2),
    peer_context=8,
    peer_prefills=(8, 16),
    slots=4,
    max_num_batched_tokens=32,
    steps=3,
    short_steps=5,
    window_seconds=0.2,
    dtype="float32",
)


def workload(name: str, *, smoke: bool) -> Workload:
    return SMOKE if smoke else WORKLOADS[name]


def config_json(model: ModelConfig) -> dict[str, Any]:
    """The content of such a model's config.json."""
    rope = model.rope
    return {
        "model_type": "gpt_oss",
        "architectures": ["GptOssForCausalLM"],
        "num_hidden_layers": model.num_layers,
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "head_dim": model.head_dim,
        "num_attention_heads": model.num_heads,
        "num_key_value_heads": model.num_kv_heads,
        "num_local_experts": model.num_experts,
        "num_experts_per_tok": model.experts_per_token,
        "sliding_window": model.window,
        "layer_types": list(model.layer_types),
        "max_position_embeddings": model.max_position,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": rope.theta,
            "factor": rope.factor,
            "original_max_position_embeddings": rope.original_max_position,
            "beta_fast": rope.beta_fast,
            "beta_slow": rope.beta_slow,
            "truncate": rope.truncate,
        },
        "rms_norm_eps": model.rms_norm_eps,
        "swiglu_limit": model.swiglu_limit,
        "hidden_act": "silu",
        "attention_bias": True,
        "tie_word_embeddings": model.tie_word_embeddings,
    }


def write_config(directory: Path, model: ModelConfig) -> Path:
    """Writes a checkpoint without weights, for `--load-format dummy`; returns `directory`."""
    (directory / "config.json").write_text(
        json.dumps(config_json(model) | {"quantization_config": {"quant_method": "mxfp4"}})
    )
    return directory
