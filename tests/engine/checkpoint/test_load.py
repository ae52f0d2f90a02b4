"""What is loaded is what is on disk, whatever the layout; and loading needs little more than the weights."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.checkpoint import load
from engine.checkpoint.load import load_weights
from engine.checkpoint.names import expected_tensors
from engine.checkpoint.verify import Manifest, verify_checkpoint
from engine.config import Dtype, ModelConfig, Quantization
from engine.errors import CheckpointError
from engine.kernels.fp8_matrix import quantize
from engine.kernels.mxfp4 import unpack
from engine.model.weights import Weights, empty_weights
from tests.checkpoints import hf_state_dict, read_tensors, small_config, write_checkpoint
from tests.engine.checkpoint.raw_safetensors import write_sparse

CONFIG = small_config()


def loaded(
    directory: Path, config: ModelConfig = CONFIG, dtype: Dtype = "float32", quantization: Quantization = "none"
) -> Weights:
    manifest = verify_checkpoint(directory, config)
    weights = empty_weights(config, manifest.experts, dtype, "cpu", quantization)
    for tensor in weights.values():
        tensor.fill_(77)
    load_weights(manifest, weights, lambda done, total: None)
    return weights


def assert_equal(ours: Weights, theirs: Weights) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
def test_every_tensor_is_where_the_model_expects_it(tmp_path: Path, experts: Any) -> None:
    weights = loaded(write_checkpoint(tmp_path, CONFIG, experts=experts))
    state = hf_state_dict(tmp_path)
    assert torch.equal(weights["embedding"], state["model.embed_tokens.weight"])
    assert torch.equal(weights["unembedding"], state["lm_head.weight"])
    assert torch.equal(weights["norm"], state["model.norm.weight"])
    for n in range(CONFIG.num_layers):
        ours, theirs = f"layers.{n}.", f"model.layers.{n}."
        for kind in ("weight", "bias"):
            qkv = [state[f"{theirs}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            assert torch.equal(weights[f"{ours}qkv.{kind}"], torch.cat(qkv))
            assert torch.equal(weights[f"{ours}attention_out.{kind}"], state[f"{theirs}self_attn.o_proj.{kind}"])
            assert torch.equal(weights[f"{ours}router.{kind}"], state[f"{theirs}mlp.router.{kind}"])
        assert torch.equal(weights[f"{ours}sinks"], state[f"{theirs}self_attn.sinks"])
        assert torch.equal(weights[f"{ours}attention_norm"], state[f"{theirs}input_layernorm.weight"])
        assert torch.equal(weights[f"{ours}mlp_norm"], state[f"{theirs}post_attention_layernorm.weight"])
        for product in ("gate_up", "down"):
            expert = state[f"{theirs}mlp.experts.{product}_proj"]
            assert torch.equal(matrix(weights, f"{ours}{product}"), expert.transpose(1, 2))
            assert torch.equal(weights[f"{ours}{product}.bias"], state[f"{theirs}mlp.experts.{product}_proj_bias"])


def matrix(weights: Weights, name: str) -> torch.Tensor:
    if f"{name}.dense" in weights:
        return weights[f"{name}.dense"]
    return unpack(weights[f"{name}.blocks"], weights[f"{name}.scales"], torch.float32)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_layouts_and_shards_give_the_same_weights(tmp_path: Path, dtype: Dtype) -> None:
    hugging_face = loaded(write_checkpoint(tmp_path / "hf", CONFIG), dtype=dtype)
    assert_equal(loaded(write_checkpoint(tmp_path / "shards", CONFIG, shards=3), dtype=dtype), hugging_face)
    assert_equal(loaded(write_checkpoint(tmp_path / "oai", CONFIG, "openai"), dtype=dtype), hugging_face)
    write_checkpoint(tmp_path / "download" / "original", CONFIG, "openai", shards=2)
    assert_equal(loaded(tmp_path / "download", dtype=dtype), hugging_face)


@pytest.mark.parametrize("stored", ["bfloat16", "float16", "float32"])
def test_numbers_take_the_dtype_of_their_place(tmp_path: Path, stored: Any) -> None:
    write_checkpoint(tmp_path, CONFIG, dtype=stored)
    state = hf_state_dict(tmp_path)
    weights = loaded(tmp_path, dtype="bfloat16")
    assert torch.equal(weights["embedding"], state["model.embed_tokens.weight"].bfloat16())
    assert torch.equal(weights["norm"], state["model.norm.weight"])
    assert weights["layers.0.gate_up.blocks"].dtype == torch.uint8


@pytest.mark.parametrize("piece", [1, 100, 5000])
@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
def test_any_size_of_piece_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experts: Any, piece: int
) -> None:
    config = small_config(vocab_size=50, eos_token_ids=(), layer_types=("full_attention",))
    write_checkpoint(tmp_path, config, experts=experts)
    whole = loaded(tmp_path, config)
    monkeypatch.setattr(load, "PIECE_BYTES", piece)
    assert_equal(loaded(tmp_path, config), whole)


@pytest.mark.parametrize("piece", [1, 5000, load.PIECE_BYTES])
@pytest.mark.parametrize("stored", ["bfloat16", "float32"])
def test_fp8_matrices_are_those_on_disk_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: Any, piece: int
) -> None:
    write_checkpoint(tmp_path, CONFIG, dtype=stored)
    exact = loaded(tmp_path)
    monkeypatch.setattr(load, "PIECE_BYTES", piece)
    weights = loaded(tmp_path, quantization="fp8")
    matrices = {f"layers.{n}.{kind}.weight" for n in range(CONFIG.num_layers) for kind in ("qkv", "attention_out")}
    for name, tensor in exact.items():
        if name not in matrices | {"unembedding"}:
            assert torch.equal(weights.pop(name), tensor), name
            continue
        want = quantize(tensor)
        assert torch.equal(weights.pop(f"{name}.values").float(), want.values.float()), name
        assert torch.equal(weights.pop(f"{name}.row_scales"), want.scales), name
    assert not weights


def test_a_tied_unembedding(tmp_path: Path) -> None:
    config = small_config(tie_word_embeddings=True)
    weights = loaded(write_checkpoint(tmp_path, config), config)
    assert "unembedding" not in weights
    assert torch.equal(weights["embedding"], hf_state_dict(tmp_path)["lm_head.weight"])


class Gpu:
    """What a GPU would do, in order: each piece read and copied, each copy's end waited for. Pinned memory is plain."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal: list[str] = []
        self.pinned: list[int] = []
        gpu, read_into, empty = self, load.read_into, torch.empty

        class Event:
            def record(self, stream: object) -> None:
                self.number = gpu.journal.count("copy")
                gpu.journal.append("copy")

            def synchronize(self) -> None:
                gpu.journal.append(f"wait {self.number}")

        def reading(file: Any, piece: torch.Tensor) -> bool:
            gpu.journal.append("read")
            return read_into(file, piece)

        def pinning(nbytes: int, *, pin_memory: bool = False, **kwargs: Any) -> torch.Tensor:
            if pin_memory:
                gpu.pinned.append(nbytes)
            return empty(nbytes, **kwargs).fill_(99)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
        monkeypatch.setattr(load, "read_into", reading)
        cpu = torch.device("cpu")
        with monkeypatch.context() as making:
            making.setattr(torch, "empty", pinning)
            self.buffers = load.PinnedBuffers(3000, cpu)
        monkeypatch.setattr(load, "buffers_for", lambda device, nbytes: self.buffers)


@pytest.mark.parametrize("quantization", ["none", "fp8"])
def test_a_gpu_copies_a_piece_while_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantization: Quantization
) -> None:
    """In float32, so that all but the packed experts goes through the buffers; a buffer is filled again only when its
    last copy, the one before the last, is done."""
    write_checkpoint(tmp_path, CONFIG)
    plain = loaded(tmp_path, quantization=quantization)
    monkeypatch.setattr(load, "PIECE_BYTES", 3000)
    gpu = Gpu(monkeypatch)
    assert_equal(loaded(tmp_path, quantization=quantization), plain)
    assert gpu.pinned == [3000, 3000], "all that the host ever holds"
    copies = gpu.journal.count("copy")
    assert copies > 20
    buffered = [entry for entry in gpu.journal if entry != "read"]
    waits = [[f"wait {number}", "copy"] for number in range(copies - 2)]
    assert buffered == ["copy", "copy", *(entry for pair in waits for entry in pair)]
    assert gpu.journal.index("wait 0") > gpu.journal.index("read") + 2


def test_a_gpus_buffers_are_two_and_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, torch.device]] = []
    monkeypatch.setattr(load, "PinnedBuffers", lambda nbytes, device: made.append((nbytes, device)))
    load.buffers_for(torch.device("cuda", 1), 77)
    assert made == [(77, torch.device("cuda", 1))]
    assert type(load.buffers_for(torch.device("cpu"), 77)) is load.Buffers


def test_progress_counts_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = verify_checkpoint(write_checkpoint(tmp_path, CONFIG), CONFIG)
    monkeypatch.setattr(load, "PIECE_BYTES", 1000)
    seen: list[tuple[int, int]] = []
    weights = empty_weights(CONFIG, "mxfp4", "bfloat16", "cpu")
    load_weights(manifest, weights, lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {manifest.total_bytes}
    assert seen[-1][0] == manifest.total_bytes == sum(tensor.nbytes for tensor in read_tensors(tmp_path).values())


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    manifest = verify_checkpoint(write_checkpoint(tmp_path, CONFIG), CONFIG)
    file = tmp_path / "model.safetensors"
    weights = empty_weights(CONFIG, "mxfp4", "bfloat16", "cpu")
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 1)
    with pytest.raises(CheckpointError, match=rf"^{file}: \S+: truncated while it was read$"):
        load_weights(manifest, weights, lambda done, total: None)
    file.unlink()
    with pytest.raises(CheckpointError, match=rf"^{file}: \S+: No such file or directory$"):
        load_weights(manifest, weights, lambda done, total: None)


class TestCoverage:
    """Every place is filled once: a manifest that does otherwise is refused before anything is read."""

    @pytest.fixture
    def manifest(self, tmp_path: Path) -> Manifest:
        return verify_checkpoint(write_checkpoint(tmp_path, CONFIG), CONFIG)

    def refused(self, manifest: Manifest, config: ModelConfig = CONFIG) -> str:
        """The message, which is the same for weights that are to be quantized."""
        messages = set()
        for kind in ("none", "fp8"):
            weights = empty_weights(config, "mxfp4", "bfloat16", "meta", kind)
            with pytest.raises(CheckpointError) as caught:
                load_weights(manifest, weights, lambda done, total: None)
            messages.add(str(caught.value))
        (message,) = messages
        return message

    def without(self, manifest: Manifest, name: str) -> Manifest:
        return replace(manifest, entries=tuple(e for e in manifest.entries if not e.tensor.name.endswith(name)))

    def test_not_filled(self, manifest: Manifest) -> None:
        assert self.refused(self.without(manifest, "lm_head.weight")) == "unembedding: rows from 0 are not filled"

    def test_filled_in_part(self, manifest: Manifest) -> None:
        message = "layers.0.qkv.weight: rows from 96 are not filled"
        assert self.refused(self.without(manifest, "layers.0.self_attn.k_proj.weight")) == message
        message = "layers.0.qkv.bias: rows from 128 are not filled"
        assert self.refused(self.without(manifest, "layers.0.self_attn.v_proj.bias")) == message

    def test_filled_twice(self, manifest: Manifest) -> None:
        twice = replace(manifest, entries=(*manifest.entries, manifest.entries[0]))
        assert "are filled twice" in self.refused(twice)

    def test_no_such_place(self, manifest: Manifest) -> None:
        tied = small_config(tie_word_embeddings=True)
        assert self.refused(manifest, tied).endswith("lm_head.weight: the model has no unembedding")

    def test_another_shape(self, manifest: Manifest) -> None:
        larger = small_config(vocab_size=161)
        message = "model.embed_tokens.weight: embedding is [161, 64], not [160, 64]"
        assert message in self.refused(manifest, larger) or "lm_head" in self.refused(manifest, larger)


MEASURE = """
import re, sys
from pathlib import Path
import torch
from engine.checkpoint.load import load_weights
from engine.checkpoint.verify import verify_checkpoint
from engine.model.weights import empty_weights
from tests.engine.checkpoint.test_load import LARGE

def status(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = status("VmRSS")
manifest = verify_checkpoint(Path(sys.argv[1]), LARGE)
weights = empty_weights(LARGE, manifest.experts, "bfloat16", "cpu")
load_weights(manifest, weights, lambda done, total: None)
print((status("VmHWM") - before) / manifest.total_bytes)
"""
LARGE = small_config(
    vocab_size=1000, hidden_size=640, intermediate_size=640, num_experts=256, layer_types=("full_attention",)
)


@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
def test_the_peak_is_little_more_than_the_weights(tmp_path: Path, experts: Any) -> None:
    """The limit is 1.2 times the checkpoint's bytes, pages of its files that the process maps included."""
    sources = expected_tensors(LARGE, "huggingface", experts)
    write_sparse(
        tmp_path / "model.safetensors",
        [(name, "U8" if "U8" in source.dtypes else "BF16", source.shape) for name, source in sources.items()],
    )
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    root = Path(__file__).parents[3]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=True)
    ratio = float(result.stdout)
    assert 0.95 < ratio < 1.2
