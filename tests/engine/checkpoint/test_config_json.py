"""config.json in each of its forms, against transformers and OpenAI's own keys; and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import GptOssConfig

from engine.checkpoint.config_json import read_expert_format, read_model_config
from engine.config import ModelConfig, RopeConfig
from engine.errors import CheckpointError, ConfigError
from tests.checkpoints import config_json, small_config
from tests.engine.checkpoint.published import (
    GENERATION,
    HUGGING_FACE_20B,
    HUGGING_FACE_120B,
    OPENAI_20B,
    OPENAI_120B,
    write_json,
)

EXPECTED_20B = ModelConfig(
    vocab_size=201088,
    hidden_size=2880,
    intermediate_size=2880,
    num_heads=64,
    num_kv_heads=8,
    head_dim=64,
    num_experts=32,
    experts_per_token=4,
    window=128,
    layer_types=("sliding_attention", "full_attention") * 12,
    max_position=131072,
    rope=RopeConfig(
        theta=150000.0,
        factor=32.0,
        original_max_position=4096,
        beta_fast=32.0,
        beta_slow=1.0,
        truncate=False,
    ),
    rms_norm_eps=1e-5,
    swiglu_alpha=1.702,
    swiglu_limit=7.0,
    tie_word_embeddings=False,
    eos_token_ids=(200002, 199999, 200012),
)
EXPECTED_120B = replace(EXPECTED_20B, num_experts=128, layer_types=("sliding_attention", "full_attention") * 18)
SMALL = config_json(small_config(), "huggingface", "mxfp4")
YARN = {"rope_type": "yarn", "factor": 32.0}
NEGATIVE = {"rope_type": "yarn", "factor": 32.0, "mscale": -1.0, "mscale_all_dim": -1.0}
OPENAI_SMALL = config_json(small_config(), "openai", "mxfp4")


def read(directory: Path, values: object, generation: object = None) -> ModelConfig:
    write_json(directory / "config.json", values)
    if generation is not None:
        write_json(directory / "generation_config.json", generation)
    return read_model_config(directory)


def refused(directory: Path, values: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, values)
    assert "\n" not in str(caught.value)
    assert "config.json: " in str(caught.value)
    return str(caught.value).partition("config.json: ")[2]


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


class TestPublished:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (HUGGING_FACE_20B, EXPECTED_20B),
            (HUGGING_FACE_120B, EXPECTED_120B),
            (OPENAI_20B, EXPECTED_20B),
            (OPENAI_120B, EXPECTED_120B),
        ],
        ids=["20b", "120b", "20b original", "120b original"],
    )
    def test_config(self, tmp_path: Path, values: dict[str, Any], expected: ModelConfig) -> None:
        assert read(tmp_path, values, GENERATION) == expected

    def test_newer_form(self, tmp_path: Path) -> None:
        newer = without(HUGGING_FACE_20B, "rope_scaling", "rope_theta", "experts_per_token") | {
            "rope_parameters": HUGGING_FACE_20B["rope_scaling"] | {"rope_theta": 150000.0},
            "swiglu_alpha": 1.702,
        }
        assert read(tmp_path, newer, GENERATION) == EXPECTED_20B

    def test_oldest_form(self, tmp_path: Path) -> None:
        older = without(HUGGING_FACE_20B, "num_experts_per_tok")
        assert read(tmp_path, older, GENERATION) == EXPECTED_20B

    def test_original_is_read_where_the_weights_are(self, tmp_path: Path) -> None:
        (tmp_path / "original").mkdir()
        (tmp_path / "original" / "model.safetensors").touch()
        write_json(tmp_path / "original" / "config.json", OPENAI_20B)
        assert read(tmp_path, HUGGING_FACE_120B, GENERATION) == EXPECTED_20B

    def test_expert_format(self, tmp_path: Path) -> None:
        for values, expected in (
            (HUGGING_FACE_20B, "mxfp4"),
            (OPENAI_20B, "mxfp4"),
            (without(HUGGING_FACE_20B, "quantization_config"), "dense"),
        ):
            write_json(tmp_path / "config.json", values)
            assert read_expert_format(tmp_path) == expected


class TestForms:
    def test_both_layouts_of_a_small_model(self, tmp_path: Path) -> None:
        stops = {"eos_token_id": [158, 159]}
        assert read(tmp_path, SMALL, stops) == small_config()
        assert read(tmp_path, OPENAI_SMALL, stops) == small_config()

    def test_what_may_be_left_out_is_what_transformers_defaults_to(self, tmp_path: Path) -> None:
        sizes = without(
            HUGGING_FACE_20B, "rope_scaling", "rope_theta", "layer_types", "max_position_embeddings",
            "rms_norm_eps", "swiglu_limit", "tie_word_embeddings", "hidden_act", "attention_bias",
            "eos_token_id",
        )  # fmt: skip
        theirs = GptOssConfig()
        ours = read(tmp_path, sizes)
        assert ours == replace(EXPECTED_20B, eos_token_ids=())
        assert (ours.rms_norm_eps, ours.swiglu_alpha, ours.swiglu_limit, ours.max_position) == (
            theirs.rms_norm_eps,
            theirs.swiglu_alpha,
            theirs.swiglu_limit,
            theirs.max_position_embeddings,
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"rope_scaling": None, "rope_theta": 9999.0},
            {"rope_scaling": {"rope_type": "yarn", "factor": 8}},
            {"rope_scaling": {"type": "yarn", "factor": 8.0, "truncate": True}},
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.25}},
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": None}},
            {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 16, "beta_slow": 2}},
            {"rope_scaling": None, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
            {"rope_scaling": {"rope_type": "default"}, "rope_theta": 77.0},
        ],
    )
    def test_rope_is_what_transformers_makes_of_it(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        values = HUGGING_FACE_20B | changes
        theirs = GptOssConfig(**json.loads(json.dumps(values))).rope_parameters
        ours = read(tmp_path, values).rope
        assert ours.theta == theirs["rope_theta"]
        assert (ours.factor > 1) == (theirs["rope_type"] == "yarn")
        if ours.factor > 1:
            assert ours.factor == theirs["factor"]
            assert ours.original_max_position == theirs["original_max_position_embeddings"]
            assert ours.beta_fast == theirs.get("beta_fast", 32)
            assert ours.beta_slow == theirs.get("beta_slow", 1)
            assert ours.truncate == theirs.get("truncate", True)
            assert ours.attention_factor == theirs.get("attention_factor")

    def test_mscale_gives_the_attention_factor(self, tmp_path: Path) -> None:
        yarn = {"rope_type": "yarn", "factor": 8.0, "mscale": 1.0, "mscale_all_dim": 0.5}
        rope = read(tmp_path, HUGGING_FACE_20B | {"rope_scaling": yarn}).rope
        expected = (1 + 0.1 * math.log(8)) / (1 + 0.05 * math.log(8))
        assert rope.attention_factor == pytest.approx(expected)

    def test_stop_ids(self, tmp_path: Path) -> None:
        assert read(tmp_path, SMALL).eos_token_ids == ()
        assert read(tmp_path, SMALL | {"eos_token_id": 3}).eos_token_ids == (3,)
        assert read(tmp_path, SMALL | {"eos_token_id": 3}, {"eos_token_id": [4, 5]}).eos_token_ids == (4, 5)
        assert read(tmp_path, SMALL | {"eos_token_id": 3}, {"eos_token_id": None}).eos_token_ids == (3,)

    def test_layer_types_are_the_truth(self, tmp_path: Path) -> None:
        kinds = ["full_attention", "full_attention", "sliding_attention", "full_attention"]
        assert read(tmp_path, SMALL | {"layer_types": kinds}).layer_types == tuple(kinds)


class TestRefused:
    @pytest.mark.parametrize(
        "name",
        [
            "num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "head_dim",
            "num_attention_heads", "num_key_value_heads", "sliding_window", "num_local_experts",
            "num_experts_per_tok", "model_type",
        ],
    )  # fmt: skip
    def test_missing_in_hugging_face_form(self, tmp_path: Path, name: str) -> None:
        assert refused(tmp_path, without(SMALL, name)) == f"{name} is missing"
        assert refused(tmp_path, SMALL | {name: None}) == f"{name} is missing"

    @pytest.mark.parametrize(
        "name",
        [
            "num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size", "head_dim",
            "num_attention_heads", "num_key_value_heads", "sliding_window", "num_experts",
            "experts_per_token",
            "initial_context_length",
        ],
    )  # fmt: skip
    def test_missing_in_openai_form(self, tmp_path: Path, name: str) -> None:
        assert refused(tmp_path, without(OPENAI_SMALL, name)) == f"{name} is missing"

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"model_type": "llama"}, 'model_type must be "gpt_oss", got "llama"'),
            ({"model_type": 7}, "model_type must be a string, got 7"),
            ({"hidden_act": "gelu"}, 'hidden_act must be "silu", got "gelu"'),
            ({"attention_bias": False}, "attention_bias must be true: these models have biases"),
            ({"attention_bias": "no"}, 'attention_bias must be true or false, got "no"'),
            ({"quantization_config": {"quant_method": "awq"}}, "quantization_config: quant_method must be"),
            ({"quantization_config": "mxfp4"}, 'quantization_config must be an object, got "mxfp4"'),
            ({"hidden_size": "64"}, 'hidden_size must be an integer, got "64"'),
            ({"hidden_size": 64.0}, "hidden_size must be an integer, got 64.0"),
            ({"hidden_size": True}, "hidden_size must be an integer, got true"),
            ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
            ({"num_key_value_heads": 4}, "6 query heads cannot share 4 kv heads evenly"),
            ({"num_experts_per_tok": 9}, "9 experts per token, but only 5 experts"),
            ({"hidden_size": 2**63}, "hidden_size must be an integer, got 9223372036854775808"),
            ({"rms_norm_eps": 10**400}, f"rms_norm_eps must be a number, got 1{'0' * 79}"),
            ({"model_type": "a\x1b"}, r'model_type must be "gpt_oss", got "a\u001b"'),
            ({"rope_parameters": NEGATIVE}, "rope_parameters: mscale and mscale_all_dim must not be negative"),
            ({"rms_norm_eps": math.nan}, "rms_norm_eps must be a number, got NaN"),
            ({"swiglu_limit": math.inf}, "swiglu_limit must be a number, got Infinity"),
            ({"layer_types": "full"}, 'layer_types must be a list of strings, got "full"'),
            ({"num_hidden_layers": 10**12}, "num_hidden_layers must be at most 1024, got 1000000000000"),
            ({"layer_types": ["full_attention"]}, "1 layer_types, but num_hidden_layers is 4"),
            ({"layer_types": ["chunked_attention"] * 4}, 'layer_types: unknown kind "chunked_attention"'),
            ({"rope_parameters": [1]}, "rope_parameters must be an object, got [1]"),
            ({"rope_parameters": {"rope_type": "linear"}}, "rope_parameters: rope_type must be"),
            ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters: factor is missing"),
            ({"rope_parameters": {"rope_type": "yarn", "factor": 0.5}}, "rope_parameters: factor must be at"),
            ({"rope_parameters": {"full_attention": {}}}, 'rope_parameters: unknown key "full_attention"'),
            ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "rope_parameters: partial_rotary_factor"),
            ({"rope_parameters": YARN | {"rope_theta": 1}}, "rope_theta must be greater than 1, got 1"),
            ({"rope_parameters": YARN | {"original_max_position_embeddings": 0}}, "original_max_position_embeddings,"),
            ({"rope_parameters": YARN | {"beta_fast": 0}}, "original_max_position_embeddings, beta_fast and"),
            ({"rope_parameters": YARN | {"beta_slow": -1.5}}, "original_max_position_embeddings, beta_fast and"),
            ({"rms_norm_eps": -1e-5}, "rms_norm_eps must not be negative, got -1e-05"),
            ({"eos_token_id": "end"}, 'eos_token_id must be an integer or a list of them, got "end"'),
            ({"eos_token_id": [1, True]}, "eos_token_id must be an integer or a list of them, got [1, true]"),
            ({"eos_token_id": 160}, "eos_token_id [160], but the vocabulary has 160 tokens"),
        ],
    )
    def test_value(self, tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
        assert refused(tmp_path, SMALL | changes).startswith(expected)

    def test_a_context_beyond_all_numbers(self, tmp_path: Path) -> None:
        values = OPENAI_SMALL | {"rope_scaling_factor": 1e308}
        assert refused(tmp_path, values) == "a context of inf tokens is not possible"

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (None, "no such file"),
            (b"", "not JSON: "),
            (b"\xff{}", "not JSON: "),
            (b"[" * 100_000, "not JSON: "),
            (b'{"vocab_size": ' + b"9" * 5000 + b"}", "not JSON: "),
            (b"[]", "not a JSON object"),
        ],
    )
    def test_file(self, tmp_path: Path, content: bytes | None, expected: str) -> None:
        path = tmp_path / "config.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_model_config(tmp_path)
        assert str(caught.value).startswith(f"{path}: {expected}")

    def test_a_file_of_weights_is_not_read_whole(self, tmp_path: Path) -> None:
        with (tmp_path / "config.json").open("wb") as file:
            file.truncate(10**9)
        with pytest.raises(CheckpointError, match="larger than 100 MiB"):
            read_model_config(tmp_path)
