"""Exports a trained model as a checkpoint in the Hugging Face layout with MXFP4 experts, and loads it again."""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import Tensor, bfloat16

from training.chat_format import TEMPLATE_PATH
from training.config import Shape
from training.model import GptOss
from training.mxfp4 import pack, unpack

EXPERT_PRODUCTS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
STOP_TOKENS = ("<|return|>", "<|endoftext|>", "<|call|>")
TOP_P = 0.8
"""The default top-p: for so small a model, the least likely fifth of the probability is noise."""
WEIGHTS_FILE = "model.safetensors"

# Where config.json keeps each number of the shape; rotary and layer fields are written by hand.
CONFIG_KEYS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "num_experts": "num_local_experts",
    "experts_per_token": "num_experts_per_tok",
    "window": "sliding_window",
    "rope_theta": "rope_theta",
    "rms_norm_eps": "rms_norm_eps",
    "swiglu_limit": "swiglu_limit",
    "initializer_range": "initializer_range",
}
ROPE_KEYS = {
    "rope_factor": "factor",
    "original_max_position": "original_max_position_embeddings",
    "beta_fast": "beta_fast",
    "beta_slow": "beta_slow",
}


def stored_tensors(model: GptOss) -> dict[str, Tensor]:
    """Every tensor of the checkpoint: experts as uint8 blocks and scales, all others in bf16."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.state_dict().items():
        tensor = parameter.cpu()
        if name.endswith(EXPERT_PRODUCTS):
            tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = pack(tensor)
        else:
            tensors[name] = tensor.to(bfloat16).contiguous()
    return tensors


def config_json(shape: Shape, tokenizer: Tokenizer) -> dict[str, Any]:
    """config.json in the form of the published checkpoints."""
    numbers = {key: getattr(shape, field) for field, key in CONFIG_KEYS.items()}
    rope = {key: getattr(shape, field) for field, key in ROPE_KEYS.items()}
    return {
        "architectures": ["GptOssForCausalLM"],
        "model_type": "gpt_oss",
        "attention_bias": True,
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.token_to_id("<|startoftext|>"),
        "eos_token_id": tokenizer.token_to_id("<|return|>"),
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "experts_per_token": shape.experts_per_token,
        "hidden_act": "silu",
        "initial_context_length": shape.original_max_position,
        "layer_types": list(shape.layer_types),
        "max_position_embeddings": shape.max_position,
        "output_router_logits": False,
        "quantization_config": {
            "modules_to_not_convert": [
                "model.layers.*.self_attn",
                "model.layers.*.mlp.router",
                "model.embed_tokens",
                "lm_head",
            ],
            "quant_method": "mxfp4",
        },
        "rope_scaling": rope | {"rope_type": "yarn", "truncate": False},
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
    } | numbers


def tokenizer_config_json(shape: Shape) -> dict[str, Any]:
    return {
        "bos_token": "<|startoftext|>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|return|>",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": shape.max_position,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def generation_config_json(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "bos_token_id": tokenizer.token_to_id("<|startoftext|>"),
        "do_sample": True,
        "eos_token_id": [tokenizer.token_to_id(token) for token in STOP_TOKENS],
        "pad_token_id": tokenizer.token_to_id("<|endoftext|>"),
        "top_p": TOP_P,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def export(model: GptOss, tokenizer: Tokenizer, directory: Path) -> None:
    """Writes the whole checkpoint into `directory`, over any earlier export."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / WEIGHTS_FILE).write_bytes(save(stored_tensors(model), metadata={"format": "pt"}))
    write_json(directory / "config.json", config_json(model.shape, tokenizer))
    write_json(directory / "generation_config.json", generation_config_json(tokenizer))
    write_json(directory / "tokenizer_config.json", tokenizer_config_json(model.shape))
    tokenizer.save(str(directory / "tokenizer.json"))
    shutil.copyfile(TEMPLATE_PATH, directory / TEMPLATE_PATH.name)


def read_shape(directory: Path) -> Shape:
    """The shape that `export` wrote into config.json."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    written = {field: config[key] for field, key in CONFIG_KEYS.items()}
    written |= {field: config["rope_scaling"][key] for field, key in ROPE_KEYS.items()}
    written["num_layers"] = len(config["layer_types"])
    known = {field.name for field in fields(Shape)}
    return Shape(**{field: value for field, value in written.items() if field in known})


def load_exported(directory: Path) -> GptOss:
    """The model with the weights as stored, which a server computes with, in float32."""
    model = GptOss(read_shape(directory))
    stored = load_file(directory / WEIGHTS_FILE)
    weights = {name: tensor.float() for name, tensor in stored.items() if not name.endswith(("_blocks", "_scales"))}
    for name in model.state_dict():
        if name.endswith(EXPERT_PRODUCTS):
            weights[name] = unpack(stored[f"{name}_blocks"], stored[f"{name}_scales"])
    model.load_state_dict(weights)
    return model
