"""Small random checkpoints in every layout, and the same weights in transformers' form.

One seed gives one model, with the same numbers in either layout, with packed or dense experts.
The names, shapes and the unpacking are written out here a second time, so that they check the engine's.
"""

import atexit
import json
import math
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.config import ModelConfig, RopeConfig

LayoutName = Literal["huggingface", "openai"]
ExpertFormat = Literal["mxfp4", "dense"]

FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
FP4_STD = 2.93
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def passing_directory(name: str) -> Path:
    """A new directory that several tests share, deleted when all have run."""
    directory = Path(mkdtemp(prefix=f"{name}-"))
    atexit.register(shutil.rmtree, directory)
    return directory


def small_config(**changes: Any) -> ModelConfig:
    """Two sliding and two full layers in which every size is different, so that none can be mistaken for another."""
    numbers: dict[str, Any] = {
        "vocab_size": 160,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_heads": 6,
        "num_kv_heads": 2,
        "head_dim": 16,
        "num_experts": 5,
        "experts_per_token": 2,
        "window": 8,
        "layer_types": ("sliding_attention", "full_attention") * 2,
        "max_position": 1024,
        "rope": RopeConfig(theta=10000.0, factor=8.0, original_max_position=128),
        "eos_token_ids": (158, 159),
    }
    return ModelConfig(**(numbers | changes))


def write_checkpoint(
    directory: Path,
    config: ModelConfig,
    layout: LayoutName = "huggingface",
    experts: ExpertFormat = "mxfp4",
    seed: int = 0,
    shards: int = 1,
    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16",
) -> Path:
    """Writes weights, config.json and generation_config.json; returns `directory`.

    `dtype` applies to all tensors but packed experts. Several shards get an index, in either layout.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors = random_tensors(config, experts, seed, DTYPES[dtype])
    if layout == "openai":
        tensors = {openai_name(name): tensor for name, tensor in fuse_qkv(tensors, config).items()}
    save_sharded(directory, tensors, shards)
    (directory / "config.json").write_text(json.dumps(config_json(config, layout, experts), indent=2))
    stops = {"eos_token_id": list(config.eos_token_ids)}
    (directory / "generation_config.json").write_text(json.dumps(stops))
    return directory


def config_json(config: ModelConfig, layout: LayoutName, experts: ExpertFormat) -> dict[str, Any]:
    """`config` as a config.json with the layout's own keys (Hugging Face: the newer form)."""
    rope = config.rope
    values: dict[str, Any] = {
        "num_hidden_layers": config.num_layers,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "head_dim": config.head_dim,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "sliding_window": config.window,
        "swiglu_limit": config.swiglu_limit,
    }
    if layout == "openai":
        assert config.max_position == rope.original_max_position * rope.factor
        return values | {
            "num_experts": config.num_experts,
            "experts_per_token": config.experts_per_token,
            "initial_context_length": rope.original_max_position,
            "rope_theta": rope.theta,
            "rope_scaling_factor": rope.factor,
            "rope_ntk_alpha": rope.beta_slow,
            "rope_ntk_beta": rope.beta_fast,
        }
    yarn = {
        "rope_type": "yarn",
        "rope_theta": rope.theta,
        "factor": rope.factor,
        "original_max_position_embeddings": rope.original_max_position,
        "beta_fast": rope.beta_fast,
        "beta_slow": rope.beta_slow,
        "truncate": rope.truncate,
    }
    plain = {"rope_type": "default", "rope_theta": rope.theta}
    values |= {
        "model_type": "gpt_oss",
        "architectures": ["GptOssForCausalLM"],
        "hidden_act": "silu",
        "attention_bias": True,
        "num_local_experts": config.num_experts,
        "num_experts_per_tok": config.experts_per_token,
        "layer_types": list(config.layer_types),
        "max_position_embeddings": config.max_position,
        "rope_parameters": yarn if rope.factor > 1 else plain,
        "rms_norm_eps": config.rms_norm_eps,
        "swiglu_alpha": config.swiglu_alpha,
        "tie_word_embeddings": config.tie_word_embeddings,
    }
    if experts == "mxfp4":
        values["quantization_config"] = {"quant_method": "mxfp4"}
    return values


def random_tensors(config: ModelConfig, experts: ExpertFormat, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """The model under Hugging Face's names, at scales that give logits a spread of about sqrt(hidden) / 2."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float, mean: float = 0.0) -> Tensor:
        return (torch.randn(shape, generator=generator) * std + mean).to(dtype)

    hidden, inner, count = config.hidden_size, config.intermediate_size, config.num_experts
    q, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    tensors = {
        "model.embed_tokens.weight": normal(config.vocab_size, hidden, std=1.0),
        "model.norm.weight": normal(hidden, std=0.1, mean=1.0),
    }
    if not config.tie_word_embeddings:
        tensors["lm_head.weight"] = normal(config.vocab_size, hidden, std=0.5)
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = normal(hidden, std=0.1, mean=1.0)
        for name, rows, columns in (
            ("self_attn.q_proj", q, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, q),
            ("mlp.router", count, hidden),
        ):
            tensors[f"{prefix}{name}.weight"] = normal(rows, columns, std=columns**-0.5)
            tensors[f"{prefix}{name}.bias"] = normal(rows, std=0.2)
        tensors[f"{prefix}self_attn.sinks"] = normal(config.num_heads, std=1.0)
        for name, rows, columns in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
            expert = f"{prefix}mlp.experts.{name}"
            tensors[f"{expert}_bias"] = normal(count, rows, std=0.2)
            if columns % 32:
                assert experts == "dense", "packed experts come in blocks of 32 columns"
                tensors[expert] = normal(count, columns, rows, std=columns**-0.5)
                continue
            blocks, scales = random_mxfp4(count, rows, columns, generator)
            if experts == "dense":
                tensors[expert] = dequantise(blocks, scales).transpose(1, 2).to(dtype).contiguous()
            else:
                tensors |= {f"{expert}_blocks": blocks, f"{expert}_scales": scales}
    return tensors


def random_mxfp4(experts: int, rows: int, columns: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blocks and scales whose values have a spread of about 1 / sqrt(columns)."""
    shape = (experts, rows, columns // 32)
    middle = 127 + round(-math.log2(FP4_STD * columns**0.5))
    blocks = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
    scales = torch.randint(middle - 1, middle + 2, shape, generator=generator, dtype=torch.uint8)
    return blocks, scales


def dequantise(blocks: Tensor, scales: Tensor) -> Tensor:
    """uint8 [..., columns / 32, 16] and [..., columns / 32] → float32 [..., columns]."""
    table = torch.tensor(FP4)
    low, high = table[(blocks % 16).long()], table[(blocks // 16).long()]
    values = torch.stack((low, high), dim=-1).flatten(-2)
    return torch.ldexp(values, scales[..., None].int() - 127).flatten(-2)


def fuse_qkv(tensors: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    fused = {name: tensor for name, tensor in tensors.items() if name.split(".")[-2] not in QKV}
    for layer in range(config.num_layers):
        for kind in ("weight", "bias"):
            prefix = f"model.layers.{layer}.self_attn."
            parts = [tensors[f"{prefix}{part}.{kind}"] for part in QKV]
            fused[f"{prefix}qkv.{kind}"] = torch.cat(parts)
    return fused


QKV = ("q_proj", "k_proj", "v_proj")
OPENAI_NAMES = {
    "model.embed_tokens.weight": "embedding.weight",
    "model.norm.weight": "norm.scale",
    "lm_head.weight": "unembedding.weight",
}
OPENAI_LAYER_NAMES = {
    "input_layernorm.weight": "attn.norm.scale",
    "self_attn.qkv.weight": "attn.qkv.weight",
    "self_attn.qkv.bias": "attn.qkv.bias",
    "self_attn.sinks": "attn.sinks",
    "self_attn.o_proj.weight": "attn.out.weight",
    "self_attn.o_proj.bias": "attn.out.bias",
    "post_attention_layernorm.weight": "mlp.norm.scale",
    "mlp.router.weight": "mlp.gate.weight",
    "mlp.router.bias": "mlp.gate.bias",
    "mlp.experts.gate_up_proj_blocks": "mlp.mlp1_weight.blocks",
    "mlp.experts.gate_up_proj_scales": "mlp.mlp1_weight.scales",
    "mlp.experts.gate_up_proj_bias": "mlp.mlp1_bias",
    "mlp.experts.down_proj_blocks": "mlp.mlp2_weight.blocks",
    "mlp.experts.down_proj_scales": "mlp.mlp2_weight.scales",
    "mlp.experts.down_proj_bias": "mlp.mlp2_bias",
}


def openai_name(name: str) -> str:
    """
    >>> openai_name("model.layers.3.mlp.experts.down_proj_blocks")
    'block.3.mlp.mlp2_weight.blocks'
    """
    if name in OPENAI_NAMES:
        return OPENAI_NAMES[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    return f"block.{layer}.{OPENAI_LAYER_NAMES[rest]}"


def hugging_face_name(name: str) -> str:
    """
    >>> hugging_face_name("block.3.attn.norm.scale")
    'model.layers.3.input_layernorm.weight'
    """
    whole = {ours: theirs for theirs, ours in OPENAI_NAMES.items()}
    if name in whole:
        return whole[name]
    layer, _, rest = name.removeprefix("block.").partition(".")
    names = {ours: theirs for theirs, ours in OPENAI_LAYER_NAMES.items()}
    return f"model.layers.{layer}.{names[rest]}"


def save_sharded(directory: Path, tensors: dict[str, Tensor], shards: int) -> None:
    """Writes one model.safetensors, or several files, with tensors dealt out in turn, and their index."""
    if shards == 1:
        save_file(tensors, directory / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    names = list(tensors)
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        chosen = names[shard::shards]
        save_file({name: tensors[name] for name in chosen}, directory / file)
        weight_map |= dict.fromkeys(chosen, file)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def read_tensors(directory: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for file in sorted(directory.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def hf_state_dict(directory: Path) -> dict[str, Tensor]:
    """The checkpoint in float32 for `GptOssForCausalLM.load_state_dict`: unpacked, experts [E, in, out]."""
    values = json.loads((directory / "config.json").read_text())
    tensors = read_tensors(directory)
    if "embedding.weight" in tensors:
        tensors = split_qkv(
            {hugging_face_name(name): tensor for name, tensor in tensors.items()},
            values["num_attention_heads"] * values["head_dim"],
            values["num_key_value_heads"] * values["head_dim"],
        )
    state = {}
    for name, tensor in tensors.items():
        if name.endswith("_blocks"):
            product = name.removesuffix("_blocks")
            state[product] = dequantise(tensor, tensors[f"{product}_scales"]).transpose(1, 2).contiguous()
        elif not name.endswith("_scales"):
            state[name] = tensor.float()
    state.setdefault("lm_head.weight", state["model.embed_tokens.weight"])
    return state


def split_qkv(tensors: dict[str, Tensor], q: int, kv: int) -> dict[str, Tensor]:
    split = {}
    for name, tensor in tensors.items():
        if ".qkv." in name:
            for part, rows in zip(QKV, tensor.split((q, kv, kv)), strict=True):
                split[name.replace("qkv", part)] = rows
        else:
            split[name] = tensor
    return split
