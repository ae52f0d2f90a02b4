"""The cost of `--quantization fp8` and `--kv-cache-dtype fp8`: how far a model's answers move from those in bfloat16.

    python -m benchmarks.quantization --output benchmarks/results/quantization.json

Measures KL(bfloat16 ‖ fp8) of the next token's distribution, in nats, over texts that the embedded model was never
trained on, at the tokens that it has learnt to write; beside it the surprise of these tokens, in nats, how often the
likeliest token is the same, and how far bfloat16 itself is from float32. `--model DIR` measures another checkpoint on
the same texts. A model of random weights then reads random tokens: its routers hardly prefer any expert, so small
changes send tokens elsewhere, which is an upper bound and not the behaviour of a trained model.
"""

import argparse
import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.device import commit_of_source, describe_machine
from benchmarks.shapes import CPU_MODEL
from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.dummy import fill_random
from engine.checkpoint.hub import resolve_model
from engine.checkpoint.load import load_weights
from engine.checkpoint.verify import verify_checkpoint
from engine.config import Dtype, ModelConfig
from engine.kernels.fp8_matrix import quantize
from engine.kernels.table import select_ops
from engine.model.gpt_oss import GptOss
from engine.model.rope import RotaryTable
from engine.model.weights import TORCH_DTYPES, Matrix, Weights, empty_weights
from engine.plan import Chunk
from engine.prompt.tokenizer import Tokenizer
from engine.runner.batch import build_batch
from training.corpus import documents

PAGE_SIZE = 16
LONGEST = 512
"""Tokens that are read of a text."""


@dataclass(frozen=True)
class Text:
    """Token ids, and the positions whose next token is counted."""

    ids: tuple[int, ...]
    counted: tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """A model's weights in bfloat16, and the texts that it reads."""

    name: str
    config: ModelConfig
    weights: Weights
    texts: Sequence[Text]

    def variant(
        self,
        device: torch.device,
        *,
        dtype: Dtype = "bfloat16",
        kv_dtype: torch.dtype | None = None,
        fp8_weights: bool = False,
    ) -> "Variant":
        wanted = TORCH_DTYPES[dtype]
        kept = kv_dtype or wanted
        weights = {  # Copies: a model may reorder its own.
            name: tensor.to(device, wanted if tensor.dtype == torch.bfloat16 else tensor.dtype, copy=True)
            for name, tensor in self.weights.items()
        }
        model = GptOss(self.config, weights, select_ops(device, wanted, kept))
        return Variant(quantized(model) if fp8_weights else model, kept)


@dataclass(frozen=True)
class Variant:
    """A model, and the dtype of its keys and values."""

    model: GptOss
    kv_dtype: torch.dtype


def held_out(tokenizer: Tokenizer, count: int, seed: int) -> Iterator[Text]:
    """Of so many documents those whose first LONGEST tokens have some that the model has learnt to write."""
    for document in documents(count, seed, held_out=True):
        ids: list[int] = []
        counted: list[int] = []
        for text, learnt in document.parts:
            part = tokenizer.encode_marked(text)
            counted += [at - 1 for at in range(len(ids), len(ids) + len(part)) if learnt and at > 0]
            ids += part
        if counted := [at for at in counted if at + 1 < LONGEST]:
            yield Text(tuple(ids[:LONGEST]), tuple(counted))


def checkpoint(model: str, count: int, seed: int) -> Source:
    directory = resolve_model(model)
    config = read_model_config(directory)
    manifest = verify_checkpoint(directory, config)
    weights = empty_weights(config, manifest.experts, "bfloat16", "cpu")
    load_weights(manifest, weights, lambda done, total: None)
    return Source(model, config, weights, list(held_out(Tokenizer.load(directory), count, seed)))


def random_weights(config: ModelConfig, count: int, seed: int) -> Source:
    weights = empty_weights(config, "mxfp4", "bfloat16", "cpu")
    fill_random(weights, seed)
    drawn = torch.randint(config.vocab_size, (count, 65), generator=torch.Generator().manual_seed(seed)).tolist()
    return Source("random weights", config, weights, [Text(tuple(ids), tuple(range(64))) for ids in drawn])


def quantized(model: GptOss) -> GptOss:
    """The model as loaded with --quantization fp8."""

    def rounded(matrix: Matrix) -> Matrix:
        assert isinstance(matrix, Tensor)
        return quantize(matrix)

    model.unembedding = rounded(model.unembedding)
    model.layers = [
        replace(layer, qkv_weight=rounded(layer.qkv_weight), out_weight=rounded(layer.out_weight))
        for layer in model.layers
    ]
    return model


@torch.inference_mode()
def log_probabilities(variant: Variant, text: Text, device: torch.device) -> Tensor:
    """The next token's log-probabilities at each counted position: float32 [positions, vocab]."""
    model, dtype = variant.model, variant.kv_dtype
    config = model.config
    count = -(-len(text.ids) // PAGE_SIZE)
    rings = RollingCache(config, 1, dtype, device)
    pages = PagedCache(config, count, PAGE_SIZE, dtype, device)
    rotary = RotaryTable(config.rope, config.head_dim, device)
    chunk = Chunk("", text.ids, 0, 0, tuple(range(count)), True)
    hidden = model.forward(build_batch([chunk], config.window, PAGE_SIZE, rotary, device), rings, pages)
    return model.logits(hidden[torch.tensor(text.counted, device=device)]).log_softmax(dim=-1)


def compare(want: Variant, got: Variant, texts: Iterable[Text], device: torch.device) -> dict[str, Any]:
    """Over all counted positions of all texts: KL(want ‖ got), how often the likeliest token is the same, and the nats
    of the written tokens."""
    divergence, same, nats = [], [], []
    for text in texts:
        p, q = (log_probabilities(variant, text, device) for variant in (want, got))
        divergence.append((p.exp() * (p - q)).sum(dim=-1))
        same.append(p.argmax(dim=-1) == q.argmax(dim=-1))
        written = torch.tensor([text.ids[at + 1] for at in text.counted], device=device)[:, None]
        nats.append(torch.cat([-p.gather(1, written), -q.gather(1, written)], dim=1))
    every, written = torch.cat(divergence), torch.cat(nats).mean(dim=0)
    return {
        "positions": len(every),
        "kl_mean": every.mean().item(),
        "kl_median": every.median().item(),
        "kl_99_percent": every.quantile(0.99).item(),
        "same_likeliest": torch.cat(same).float().mean().item(),
        "nats_before": written[0].item(),
        "nats_after": written[1].item(),
    }


def measure(source: Source, device: torch.device) -> Iterator[dict[str, object]]:
    plain, fp8 = source.variant(device), torch.float8_e4m3fn
    for name, want, got in (
        ("fp8 weights against bfloat16", plain, source.variant(device, fp8_weights=True)),
        ("fp8 keys and values against bfloat16", plain, source.variant(device, kv_dtype=fp8)),
        ("both against bfloat16", plain, source.variant(device, kv_dtype=fp8, fp8_weights=True)),
        ("bfloat16 against float32", source.variant(device, dtype="float32"), plain),
    ):
        yield {"model": source.name, "what": name} | compare(want, got, source.texts, device)


def describe(device: torch.device) -> dict[str, str]:
    cpu = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    gpu = {} if device.type == "cpu" else {"gpu": torch.cuda.get_device_name(device)}
    machine = describe_machine(device)
    versions = {"commit": commit_of_source()} | {name: machine[name] for name in ("python", "torch")}
    return gpu | {"cpu": cpu[0] if cpu else platform.machine()} | versions


def run(sources: Iterable[Source], device: torch.device, output: Path | None) -> list[dict[str, object]]:
    records = []
    for source in sources:
        for record in measure(source, device):
            print(json.dumps(record), flush=True)
            records.append(record)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"machine": describe(device), "results": records}, indent=2) + "\n")
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded", help="a directory, a hub id, or 'embedded'")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    sources = (checkpoint(given.model, given.texts, given.seed), random_weights(CPU_MODEL, 4, given.seed))
    run(sources, torch.device(given.device), given.output)


if __name__ == "__main__":
    main()
