"""config.json in each of its forms, against transformers and OpenAI's own keys; and everything that is refused."""

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
    HUGGING_FACE_20B,
    HUGGING_FACE_120B,
    OPENAI_20B,
    OPENAI_120B,
)

SMALL = config_json(small_config(), "huggingface", "mxfp4")
OPENAI_SMALL = config_json(small_config(), "openai", "mxfp4")


def read(directory: Path, values: object, generation: object = None) -> ModelConfig:
    (directory / "config.json").write_text(json.dumps(values))
    if generation is not None:
        (directory / "generation_config.json").write_text(json.dumps(generation))
    return read_model_config(directory)


def refused(directory: Path, values: object, error: type[Exception] = ConfigError) -> str:
    with pytest.raises(error) as caught:
        read(directory, values)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{directory}/config.json: ")


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


class TestPublished:
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
    EXPECTED_120B = replace(
        EXPECTED_20B, num_experts=128, layer_types=("sliding_attention", "full_attention") * 18
    )
    GENERATION = {"bos_token_id": 199998, "eos_token_id": [200002, 199999, 200012]}

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (HUGGING_FACE_20B, EXPECTED_20B),
            (OPENAI_20B, EXPECTED_20B),
            (HUGGING_FACE_120B, EXPECTED_120B),
            (OPENAI_120B, EXPECTED_120B),
        ],
    )
    def test_both_sizes_in_both_layouts(
        self, tmp_path: Path, values: dict[str, Any], expected: ModelConfig
    ) -> None:
        assert read(tmp_path, values, self.GENERATION) == expected

    def test_a_download_of_the_original_layout(self, tmp_path: Path) -> None:
        """The weights in original/, the stop ids beside it."""
        read(tmp_path, {"model_type": "gpt_oss"} | without(HUGGING_FACE_20B, "hidden_size"), self.GENERATION) if (
            False
        ) else None
        (tmp_path / "original").mkdir()
        (tmp_path / "original" / "model.safetensors").touch()
        (tmp_path / "original" / "config.json").write_text(json.dumps(OPENAI_20B))
        (tmp_path / "generation_config.json").write_text(json.dumps(self.GENERATION))
        assert read_model_config(tmp_path) == self.EXPECTED_20B
