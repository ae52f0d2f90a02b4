"""Every tensor is accounted for: both published checkpoints pass, and anything else is one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.load import check_coverage
from engine.checkpoint.names import LAYOUTS, expected_tensors
from engine.checkpoint.verify import verify_checkpoint
from engine.config import ModelConfig
from engine.errors import CheckpointError
from engine.model.weights import empty_weights
from tests.checkpoints import small_config, write_checkpoint
from tests.engine.checkpoint import published
from tests.engine.checkpoint.raw_safetensors import ITEM_BYTES, Entry

CONFIG = small_config()
GATE_UP = "model.layers.1.mlp.experts.gate_up_proj_blocks"
Tensors = dict[str, Tensor]


class TestPublished:
    """Both published models in both layouts, as sparse files: no weights, but every header."""

    @pytest.mark.parametrize(("layers", "experts"), [(24, 32), (36, 128)], ids=["20b", "120b"])
    @pytest.mark.parametrize("layout", ["huggingface", "openai"])
    def test_every_tensor_is_accepted_and_has_a_place(
        self, tmp_path: Path, layout: str, layers: int, experts: int
    ) -> None:
        big = layers == 36
        if layout == "huggingface":
            values = published.HUGGING_FACE_120B if big else published.HUGGING_FACE_20B
            tensors = published.hugging_face_tensors(layers, experts)
            published.write_hugging_face(tmp_path, values, tensors, last_shard=14 if big else 2)
        else:
            values = published.OPENAI_120B if big else published.OPENAI_20B
            tensors = published.openai_tensors(layers, experts)
            published.write_original(tmp_path, values, tensors, files=7 if big else 1)

        config = read_model_config(tmp_path)
        manifest = verify_checkpoint(tmp_path, config)
        assert manifest.experts == "mxfp4"
        assert {entry.tensor.name for entry in manifest.entries} == {name for name, _, _ in tensors}
        assert manifest.total_bytes == sum(size_of(entry) for entry in tensors)

        weights = empty_weights(config, manifest.experts, "bfloat16", "meta")
        check_coverage(manifest, weights)
        assert sum(weight.numel() for weight in weights.values()) == sum(prod(shape) for _, _, shape in tensors)

    def test_the_sizes_are_the_published_ones(self) -> None:
        """13.8 GB and 65.2 GB of safetensors files."""
        for layers, experts, gigabytes in ((24, 32, 13.76), (36, 128, 65.25)):
            total = sum(size_of(entry) for entry in published.hugging_face_tensors(layers, experts))
            assert total / 1e9 == pytest.approx(gigabytes, abs=0.01)


def size_of(entry: Entry) -> int:
    _, dtype, shape = entry
    return prod(shape) * ITEM_BYTES[dtype]


@pytest.mark.parametrize("config", [CONFIG, small_config(tie_word_embeddings=True)], ids=["", "tied"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
def test_small_checkpoints(tmp_path: Path, config: ModelConfig, experts: Any, shards: int) -> None:
    write_checkpoint(tmp_path, config, "huggingface", experts, shards=shards)
    manifest = verify_checkpoint(tmp_path, config)
    assert manifest.experts == experts
    assert len({entry.tensor.file for entry in manifest.entries}) == shards


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_any_float_dtype(tmp_path: Path, dtype: Any) -> None:
    write_checkpoint(tmp_path, CONFIG, dtype=dtype)
    assert verify_checkpoint(tmp_path, CONFIG).experts == "mxfp4"


def test_a_tied_unembedding_may_be_there_and_is_not_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, CONFIG)
    manifest = verify_checkpoint(tmp_path, replace(CONFIG, tie_word_embeddings=True))
    assert "lm_head.weight" not in {entry.tensor.name for entry in manifest.entries}


def test_tables_name_every_destination_of_the_model() -> None:
    for layout, table in LAYOUTS.items():
        for experts in ("mxfp4", "dense") if table.dense else ("mxfp4",):
            named = {source.destination for source in expected_tensors(CONFIG, layout, experts).values()}
            assert named == set(empty_weights(CONFIG, experts, "bfloat16", "meta"))


class TestRefused:
    def message(self, directory: Path, change: Callable[[Tensors], object], config: ModelConfig = CONFIG) -> str:
        """What is said of a checkpoint that `change` altered; it must not be longer than a line."""
        file = write_checkpoint(directory, CONFIG) / "model.safetensors"
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file)
        with pytest.raises(CheckpointError) as caught:
            verify_checkpoint(directory, config)
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith(f"{file}: ")
        return text.removeprefix(f"{file}: ")

    def test_missing(self, tmp_path: Path) -> None:
        assert self.message(tmp_path, lambda t: t.pop("lm_head.weight")) == "lm_head.weight: missing"

    def test_missing_of_several_files(self, tmp_path: Path) -> None:
        write_checkpoint(tmp_path, CONFIG, shards=2)
        (tmp_path / "model.safetensors.index.json").unlink()
        (tmp_path / "model-00002-of-00002.safetensors").rename(tmp_path / "elsewhere")
        with pytest.raises(CheckpointError, match=r"model-00001-of-00002\.safetensors: .*: missing … and \d+ more$"):
            verify_checkpoint(tmp_path, CONFIG)

    def test_extra(self, tmp_path: Path) -> None:
        def add(tensors: Tensors) -> None:
            tensors["model.layers.4.self_attn.sinks"] = torch.zeros(6)

        assert self.message(tmp_path, add) == "model.layers.4.self_attn.sinks: not a tensor of this model"

    def test_wrong_shape(self, tmp_path: Path) -> None:
        def transpose(tensors: Tensors) -> None:
            name = "model.layers.0.self_attn.o_proj.weight"
            tensors[name] = tensors[name].T.contiguous()

        expected = "model.layers.0.self_attn.o_proj.weight: shape [96, 64], expected [64, 96]"
        assert self.message(tmp_path, transpose) == expected

    @pytest.mark.parametrize(
        ("name", "dtype", "expected"),
        [
            (GATE_UP, torch.int8, "dtype I8, expected U8"),
            (GATE_UP, torch.bfloat16, "dtype BF16, expected U8"),
            ("model.norm.weight", torch.int64, "dtype I64, expected BF16 or F16 or F32"),
            ("model.norm.weight", torch.float64, "dtype F64, expected BF16 or F16 or F32"),
            ("model.norm.weight", torch.float8_e4m3fn, "dtype F8_E4M3, expected BF16 or F16 or F32"),
        ],
    )
    def test_wrong_dtype(self, tmp_path: Path, name: str, dtype: torch.dtype, expected: str) -> None:
        def convert(tensors: Tensors) -> None:
            tensors[name] = tensors[name].to(dtype)

        assert self.message(tmp_path, convert) == f"{name}: {expected}"

    def test_others_are_counted(self, tmp_path: Path) -> None:
        def break_four(tensors: Tensors) -> None:
            del tensors["model.norm.weight"]
            del tensors[GATE_UP]
            tensors["x"] = tensors["y"] = torch.zeros(1)
            tensors["y"] = torch.zeros(1)

        assert self.message(tmp_path, break_four) == "model.norm.weight: missing … and 3 more"

    def test_another_model(self, tmp_path: Path) -> None:
        config = replace(CONFIG, num_experts=6)
        message = self.message(tmp_path, lambda tensors: None, config)
        assert message.startswith("model.layers.0.mlp.experts.down_proj_bias: shape [5, 64], expected [6, 64] … and ")

    def test_truncated(self, tmp_path: Path) -> None:
        file = write_checkpoint(tmp_path, CONFIG) / "model.safetensors"
        with file.open("r+b") as stream:
            stream.truncate(file.stat().st_size // 2)
        with pytest.raises(CheckpointError, match=rf"^{file}: \S+: truncated: .* … and \d+ more$"):
            verify_checkpoint(tmp_path, CONFIG)

    @pytest.mark.parametrize("name", ["hidden_size", "intermediate_size"])
    def test_columns_that_blocks_do_not_divide(self, tmp_path: Path, name: Any) -> None:
        write_checkpoint(tmp_path, CONFIG)
        config = replace(CONFIG, **{name: 40})
        with pytest.raises(CheckpointError, match=f"blocks of 32 columns, but {name} is 40"):
            verify_checkpoint(tmp_path, config)

    def test_dense_columns_need_no_blocks(self, tmp_path: Path) -> None:
        config = small_config(hidden_size=40, intermediate_size=24)
        write_checkpoint(tmp_path, config, experts="dense")
        assert verify_checkpoint(tmp_path, config).experts == "dense"

    def test_an_index_that_lost_a_tensor(self, tmp_path: Path) -> None:
        write_checkpoint(tmp_path, CONFIG, shards=2)
        path = tmp_path / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        del index["weight_map"][GATE_UP]
        path.write_text(json.dumps(index))
        with pytest.raises(CheckpointError, match=rf"{GATE_UP}: not in model\.safetensors\.index\.json$"):
            verify_checkpoint(tmp_path, CONFIG)
