"""The published gpt-oss-20b and gpt-oss-120b: configs, and every tensor's name, dtype and shape.

Written out in plain numbers and names, without the engine's tables, to check these.
"""

import json
from pathlib import Path
from typing import Any

from tests.engine.checkpoint.raw_safetensors import Entry, write_sparse

HUGGING_FACE_20B: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "eos_token_id": 200002,
    "experts_per_token": 4,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2880,
    "initial_context_length": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 2880,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "max_position_embeddings": 131072,
    "model_type": "gpt_oss",
    "num_attention_heads": 64,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 24,
    "num_key_value_heads": 8,
    "num_local_experts": 32,
    "output_router_logits": False,
    "pad_token_id": 199999,
    "quantization_config": {
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
        "quant_method": "mxfp4",
    },
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000,
    "router_aux_loss_coef": 0.9,
    "sliding_window": 128,
    "swiglu_limit": 7.0,
    "tie_word_embeddings": False,
    "transformers_version": "4.55.0.dev0",
    "use_cache": True,
    "vocab_size": 201088,
}
HUGGING_FACE_120B = HUGGING_FACE_20B | {
    "layer_types": ["sliding_attention", "full_attention"] * 18,
    "num_hidden_layers": 36,
    "num_local_experts": 128,
}
OPENAI_20B: dict[str, Any] = {
    "num_hidden_layers": 24,
    "num_experts": 32,
    "experts_per_token": 4,
    "vocab_size": 201088,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "swiglu_limit": 7.0,
    "head_dim": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "sliding_window": 128,
    "initial_context_length": 4096,
    "rope_theta": 150000,
    "rope_scaling_factor": 32.0,
    "rope_ntk_alpha": 1,
    "rope_ntk_beta": 32,
}
OPENAI_120B = OPENAI_20B | {"num_hidden_layers": 36, "num_experts": 128}
GENERATION = {
    "bos_token_id": 199998,
    "do_sample": True,
    "eos_token_id": [200002, 199999, 200012],
    "pad_token_id": 199999,
}


def hugging_face_tensors(layers: int, experts: int) -> list[Entry]:
    tensors: list[Entry] = [("model.embed_tokens.weight", "BF16", (201088, 2880))]
    for n in range(layers):
        tensors += [
            (f"model.layers.{n}.input_layernorm.weight", "BF16", (2880,)),
            (f"model.layers.{n}.mlp.experts.down_proj_bias", "BF16", (experts, 2880)),
            (f"model.layers.{n}.mlp.experts.down_proj_blocks", "U8", (experts, 2880, 90, 16)),
            (f"model.layers.{n}.mlp.experts.down_proj_scales", "U8", (experts, 2880, 90)),
            (f"model.layers.{n}.mlp.experts.gate_up_proj_bias", "BF16", (experts, 5760)),
            (f"model.layers.{n}.mlp.experts.gate_up_proj_blocks", "U8", (experts, 5760, 90, 16)),
            (f"model.layers.{n}.mlp.experts.gate_up_proj_scales", "U8", (experts, 5760, 90)),
            (f"model.layers.{n}.mlp.router.bias", "BF16", (experts,)),
            (f"model.layers.{n}.mlp.router.weight", "BF16", (experts, 2880)),
            (f"model.layers.{n}.post_attention_layernorm.weight", "BF16", (2880,)),
            (f"model.layers.{n}.self_attn.k_proj.bias", "BF16", (512,)),
            (f"model.layers.{n}.self_attn.k_proj.weight", "BF16", (512, 2880)),
            (f"model.layers.{n}.self_attn.o_proj.bias", "BF16", (2880,)),
            (f"model.layers.{n}.self_attn.o_proj.weight", "BF16", (2880, 4096)),
            (f"model.layers.{n}.self_attn.q_proj.bias", "BF16", (4096,)),
            (f"model.layers.{n}.self_attn.q_proj.weight", "BF16", (4096, 2880)),
            (f"model.layers.{n}.self_attn.sinks", "BF16", (64,)),
            (f"model.layers.{n}.self_attn.v_proj.bias", "BF16", (512,)),
            (f"model.layers.{n}.self_attn.v_proj.weight", "BF16", (512, 2880)),
        ]
    tensors += [
        ("model.norm.weight", "BF16", (2880,)),
        ("lm_head.weight", "BF16", (201088, 2880)),
    ]
    return tensors


def openai_tensors(layers: int, experts: int) -> list[Entry]:
    tensors: list[Entry] = [("embedding.weight", "BF16", (201088, 2880))]
    for n in range(layers):
        tensors += [
            (f"block.{n}.attn.norm.scale", "BF16", (2880,)),
            (f"block.{n}.attn.out.bias", "BF16", (2880,)),
            (f"block.{n}.attn.out.weight", "BF16", (2880, 4096)),
            (f"block.{n}.attn.qkv.bias", "BF16", (5120,)),
            (f"block.{n}.attn.qkv.weight", "BF16", (5120, 2880)),
            (f"block.{n}.attn.sinks", "BF16", (64,)),
            (f"block.{n}.mlp.gate.bias", "BF16", (experts,)),
            (f"block.{n}.mlp.gate.weight", "BF16", (experts, 2880)),
            (f"block.{n}.mlp.mlp1_bias", "BF16", (experts, 5760)),
            (f"block.{n}.mlp.mlp1_weight.blocks", "U8", (experts, 5760, 90, 16)),
            (f"block.{n}.mlp.mlp1_weight.scales", "U8", (experts, 5760, 90)),
            (f"block.{n}.mlp.mlp2_bias", "BF16", (experts, 2880)),
            (f"block.{n}.mlp.mlp2_weight.blocks", "U8", (experts, 2880, 90, 16)),
            (f"block.{n}.mlp.mlp2_weight.scales", "U8", (experts, 2880, 90)),
            (f"block.{n}.mlp.norm.scale", "BF16", (2880,)),
        ]
    tensors += [("norm.scale", "BF16", (2880,)), ("unembedding.weight", "BF16", (201088, 2880))]
    return tensors


def write_hugging_face(directory: Path, config: dict[str, Any], tensors: list[Entry], last_shard: int) -> Path:
    """Writes sparse files in the Hugging Face layout: shards numbered from 0 to `last_shard`, and their index."""
    write_json(directory / "config.json", config)
    write_json(directory / "generation_config.json", GENERATION)
    weight_map = {}
    for shard in range(last_shard + 1):
        file = f"model-{shard:05}-of-{last_shard:05}.safetensors"
        chosen = tensors[shard :: last_shard + 1]
        write_sparse(directory / file, chosen)
        weight_map |= {name: file for name, _, _ in chosen}
    write_json(directory / "model.safetensors.index.json", {"metadata": {}, "weight_map": weight_map})
    return directory


def write_original(directory: Path, config: dict[str, Any], tensors: list[Entry], files: int) -> Path:
    """Writes sparse files in OpenAI's layout, in original/ of a download without its main weights."""
    write_json(directory / "config.json", {"model_type": "gpt_oss"})
    write_json(directory / "generation_config.json", GENERATION)
    original = directory / "original"
    original.mkdir()
    write_json(original / "config.json", config)
    for number in range(files):
        name = "model" if files == 1 else f"model--{number + 1:05}-of-{files:05}"
        write_sparse(original / f"{name}.safetensors", tensors[number::files])
    return directory


def write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values))
