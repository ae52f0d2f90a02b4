"""config.json to a ModelConfig: Hugging Face's older and newer form, and OpenAI's original one.

    here               Hugging Face                                OpenAI
    num_experts        num_local_experts (or num_experts)          num_experts
    experts_per_token  num_experts_per_tok (or experts_per_token)  experts_per_token
    max_position       max_position_embeddings                     initial_context_length·rope_scaling_factor
    rope               rope_scaling and rope_theta,                rope_theta, rope_scaling_factor,
                       or rope_parameters                          rope_ntk_alpha (slow), rope_ntk_beta (fast)
    layer_types        layer_types                                 always sliding, full, sliding, …

The model's sizes are required. Any other missing value takes the default of transformers' `GptOssConfig`.
"""

import math
from functools import partial
from pathlib import Path

from engine.checkpoint.headers import weights_directory
from engine.config import MAX_INT64, ExpertFormat, LayerType, ModelConfig, RopeConfig
from engine.errors import ConfigError
from engine.json_object import JsonObject, read_json_object, shown

ROPE_KEYS = frozenset(
    {
        "rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "beta_fast",
        "beta_slow", "truncate", "attention_factor", "mscale", "mscale_all_dim", "partial_rotary_factor",
    }
)  # fmt: skip
MOST_LAYERS = 1024
ROPE_THETA = 150000.0
GPT_OSS_YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


def read_model_config(directory: Path) -> ModelConfig:
    """The model's numbers, and the stop ids of generation_config.json (else of config.json).

    Raises CheckpointError for a file that is missing or not JSON, and ConfigError, naming file and key, for a
    value that cannot be served.
    """
    root = weights_directory(directory)
    values = read_json_object(root / "config.json")
    stops = read_eos_token_ids(directory, root, values)
    return openai_config(values, stops) if is_openai(values) else hugging_face_config(values, stops)


def read_expert_format(directory: Path) -> ExpertFormat:
    """How config.json says the experts are stored, for use without the weights."""
    values = read_json_object(weights_directory(directory) / "config.json")
    return "mxfp4" if is_openai(values) or "quantization_config" in values else "dense"


def is_openai(values: JsonObject) -> bool:
    return "model_type" not in values and "rope_scaling_factor" in values


def read_eos_token_ids(directory: Path, root: Path, values: JsonObject) -> tuple[int, ...]:
    sources = [
        read_json_object(folder / "generation_config.json")
        for folder in dict.fromkeys((root, directory))
        if (folder / "generation_config.json").exists()
    ]
    source = next((source for source in sources if "eos_token_id" in source), values)
    stops = source.integers("eos_token_id")
    vocabulary = values.integer("vocab_size")
    if any(not 0 <= token < vocabulary for token in stops):
        raise ConfigError(f"{source.where}: eos_token_id {list(stops)}, but the vocabulary has {vocabulary} tokens")
    return stops


def openai_config(values: JsonObject, eos_token_ids: tuple[int, ...]) -> ModelConfig:
    layers = read_layers(values)
    original = values.size("initial_context_length")
    factor = values.number("rope_scaling_factor")
    if not original * factor <= MAX_INT64:
        raise ConfigError(f"{values.where}: a context of {original * factor:g} tokens is not possible")
    return config_of_sizes(values)(
        num_experts=values.size("num_experts"),
        experts_per_token=values.size("experts_per_token"),
        layer_types=alternating_layers(layers),
        max_position=int(original * factor),
        rope=RopeConfig(
            theta=values.number("rope_theta", default=ROPE_THETA),
            factor=factor,
            original_max_position=original,
            beta_fast=values.number("rope_ntk_beta", default=32.0),
            beta_slow=values.number("rope_ntk_alpha", default=1.0),
        ),
        swiglu_limit=values.number("swiglu_limit", default=7.0),
        eos_token_ids=eos_token_ids,
    )


def hugging_face_config(values: JsonObject, eos_token_ids: tuple[int, ...]) -> ModelConfig:
    require(values, "model_type", values.text("model_type"), "gpt_oss")
    require(values, "hidden_act", values.text("hidden_act", default="silu"), "silu")
    if not values.flag("attention_bias", default=True):
        raise ConfigError(f"{values.where}: attention_bias must be true: these models have biases")
    if "quantization_config" in values:
        quantization = values.object("quantization_config")
        require(quantization, "quant_method", quantization.text("quant_method"), "mxfp4")
    layers = read_layers(values)
    max_position = values.size("max_position_embeddings", default=131072)
    return config_of_sizes(values)(
        num_experts=values.size("num_local_experts", "num_experts"),
        experts_per_token=values.size("num_experts_per_tok", "experts_per_token"),
        layer_types=read_layer_types(values, layers),
        max_position=max_position,
        rope=read_rope(values, max_position),
        rms_norm_eps=values.number("rms_norm_eps", default=1e-5),
        swiglu_alpha=values.number("swiglu_alpha", default=1.702),
        swiglu_limit=values.number("swiglu_limit", default=7.0),
        tie_word_embeddings=values.flag("tie_word_embeddings", default=False),
        eos_token_ids=eos_token_ids,
    )


def config_of_sizes(values: JsonObject) -> partial[ModelConfig]:
    """A ModelConfig with the sizes that every form calls the same; the rest is still to be given."""
    return partial(
        ModelConfig,
        vocab_size=values.size("vocab_size"),
        hidden_size=values.size("hidden_size"),
        intermediate_size=values.size("intermediate_size"),
        num_heads=values.size("num_attention_heads"),
        num_kv_heads=values.size("num_key_value_heads"),
        head_dim=values.size("head_dim"),
        window=values.size("sliding_window"),
    )


def require(values: JsonObject, name: str, value: str, wanted: str) -> None:
    if value != wanted:
        raise ConfigError(f'{values.where}: {name} must be "{wanted}", got {shown(value)}')


def read_layers(values: JsonObject) -> int:
    """The number of layers. It is limited, because tables are built for each: too many would exhaust the memory before
    the weights are checked."""
    layers = values.integer("num_hidden_layers")
    if layers > MOST_LAYERS:
        raise ConfigError(f"{values.where}: num_hidden_layers must be at most {MOST_LAYERS}, got {layers}")
    return layers


def alternating_layers(layers: int) -> tuple[LayerType, ...]:
    """
    >>> alternating_layers(3)
    ('sliding_attention', 'full_attention', 'sliding_attention')
    """
    return tuple("full_attention" if layer % 2 else "sliding_attention" for layer in range(layers))


def read_layer_types(values: JsonObject, layers: int) -> tuple[LayerType, ...]:
    if "layer_types" not in values:
        return alternating_layers(layers)
    kinds: list[LayerType] = []
    for kind in values.strings("layer_types"):
        match kind:
            case "sliding_attention" | "full_attention":
                kinds.append(kind)
            case _:
                raise ConfigError(f"{values.where}: layer_types: unknown kind {shown(kind)}")
    if len(kinds) != layers:
        raise ConfigError(f"{values.where}: {len(kinds)} layer_types, but num_hidden_layers is {layers}")
    return tuple(kinds)


def read_rope(values: JsonObject, max_position: int) -> RopeConfig:
    """YaRN or plain rotary embedding; without any rope object, gpt-oss' own YaRN."""
    theta = values.number("rope_theta", default=ROPE_THETA)
    name = "rope_scaling" if values.values.get("rope_scaling") else "rope_parameters"
    rope = values.object(name) if name in values else JsonObject(values.where, GPT_OSS_YARN)
    for key in rope.values:
        if key not in ROPE_KEYS:
            raise ConfigError(f"{rope.where}: unknown key {shown(key)}")
    theta = rope.number("rope_theta", default=theta)
    if rope.number("partial_rotary_factor", default=1.0) != 1.0:
        raise ConfigError(f"{rope.where}: partial_rotary_factor other than 1 is not supported")
    kind = rope.text("rope_type", "type", default="default")
    if kind == "default":
        return RopeConfig(theta=theta, original_max_position=max_position)
    if kind != "yarn":
        raise ConfigError(f'{rope.where}: rope_type must be "yarn" or "default", got {shown(kind)}')
    factor = rope.number("factor")
    if factor < 1:
        raise ConfigError(f"{rope.where}: factor must be at least 1, got {factor}")
    return RopeConfig(
        theta=theta,
        factor=factor,
        original_max_position=rope.integer("original_max_position_embeddings", default=max_position),
        beta_fast=rope.number("beta_fast", default=32.0),
        beta_slow=rope.number("beta_slow", default=1.0),
        truncate=rope.flag("truncate", default=True),
        attention_factor=read_attention_factor(rope, factor),
    )


def read_attention_factor(rope: JsonObject, factor: float) -> float | None:
    """The factor that scales cos and sin, if the config gives one: directly or as a ratio of concentrations."""
    if "attention_factor" in rope:
        return rope.number("attention_factor")
    scale, scale_all = rope.number("mscale", default=0.0), rope.number("mscale_all_dim", default=0.0)
    if not (scale and scale_all):
        return None
    if scale < 0 or scale_all < 0:
        raise ConfigError(f"{rope.where}: mscale and mscale_all_dim must not be negative")
    return (0.1 * scale * math.log(factor) + 1.0) / (0.1 * scale_all * math.log(factor) + 1.0)
