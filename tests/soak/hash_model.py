"""A model whose next token is a hash of every (position, token) pair that it sees in its caches.

It replaces GptOss and reads and writes rings and pages by the same slots, but attends by a sum of hashes in 64-bit
integers: a single slot that is stale, lost, read twice or taken from a neighbour changes every later token. The
expected output needs no cache at all (`write_alone`), so an engine is compared with the definition, not with itself.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.config import ModelConfig, RopeConfig
from engine.engine import Engine
from engine.kernels.choose import choose
from engine.kernels.ragged import RaggedBatch
from engine.kernels.table import REFERENCE
from engine.request import FinishReason, SamplingParams
from engine.sampling.occurrences import Occurrences
from engine.sampling.rows import SamplingRow
from engine.sampling.sampler import Sampled, Sampler
from tests.checkpoints import config_json

ODD = (0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9, 0x14D049BB133111EB)
"""Odd factors for 64-bit products that wrap around."""
PRINTABLE = range(32, 127)
SPREAD = 8.0
"""Logits are in [0, SPREAD) for ordinary tokens, and in [−SPREAD, 0) for rare ones."""


def hash_config(**changes: object) -> ModelConfig:
    """Two sliding and two full layers, a window of 4, and 128 tokens, of which the last is the stop token."""
    numbers: dict[str, object] = {
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_heads": 1,
        "num_kv_heads": 1,
        "head_dim": 2,
        "num_experts": 1,
        "experts_per_token": 1,
        "window": 4,
        "layer_types": ("sliding_attention", "full_attention") * 2,
        "max_position": 2**20,
        "rope": RopeConfig(theta=10000.0),
        "eos_token_ids": (127,),
    }
    return ModelConfig(**(numbers | changes))


def write_hash_config(directory: Path, config: ModelConfig) -> Path:
    """Writes a checkpoint without weights, for an engine with `load_format="dummy"`; returns `directory`."""
    (directory / "config.json").write_text(json.dumps(config_json(config, "huggingface", "mxfp4")))
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": list(config.eos_token_ids)}))
    return directory


class HashModel:
    """Keys hold positions and values hold tokens, in float32, which is exact up to 2²⁴.

    `spoiled`, if set, is the index of a sequence of the next step whose results become NaN. `broken`, if set, is the
    layer after which the next step raises, with the caches written up to there; `broke` is then the number of its
    sequences.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config, self.ops = config, REFERENCE
        self.spoiled: int | None = None
        self.broken: int | None = None
        self.broke = 0
        likely = torch.zeros(config.vocab_size, dtype=torch.bool)
        likely[[*PRINTABLE, config.eos_token_ids[0]]] = True
        self._floor = torch.where(likely, 0.0, -SPREAD)

    def forward(self, batch: RaggedBatch, rings: RollingCache, pages: PagedCache) -> Tensor:
        """[tokens, 2]: each token's hash, and whether it saw only numbers."""
        seen = torch.zeros(len(batch.token_ids), 2, dtype=torch.int64)
        for number, kind in enumerate(self.config.layer_types):
            sliding = kind == "sliding_attention"
            keys, values = rings.layer(number) if sliding else pages.layer(number)
            for s in range(len(batch.contexts)):
                rows = slice(batch.starts[s], batch.starts[s + 1])
                past = batch.ring_reads(s) if sliding else batch.page_reads(s)
                positions = torch.cat((keys[past, 0, 0], batch.positions[rows].float()))
                tokens = torch.cat((values[past, 0, 0], batch.token_ids[rows].float()))
                visible = look(positions, tokens, number, self.config.window if sliding else None)
                seen[rows] += visible[len(past) :]
            written = batch.ring_write_rows if sliding else torch.arange(len(batch.token_ids))
            slots = batch.ring_write_slots if sliding else batch.page_write_slots
            keys[slots] = batch.positions[written].float()[:, None, None].expand(-1, 1, keys.shape[-1])
            values[slots] = batch.token_ids[written].float()[:, None, None].expand(-1, 1, keys.shape[-1])
            if number == self.broken:
                self.broken, self.broke = None, len(batch.contexts)
                raise RuntimeError("broken on purpose")
        if self.spoiled is not None:
            s = self.spoiled % len(batch.contexts)
            seen[batch.starts[s] : batch.starts[s + 1], 1] += 1
            self.spoiled = None
        return seen

    def logits(self, hidden: Tensor) -> Tensor:
        """[rows, 2] → float32 [rows, vocab], in which the row's hash decides every bit."""
        token = torch.arange(self.config.vocab_size)
        mixed = scramble(hidden[:, :1] + token * ODD[2])
        logits = (mixed >> 40 & 0xFFFFFF).float() * (SPREAD / 2**24) + self._floor
        return logits.masked_fill(hidden[:, 1:] > 0, torch.nan)


def look(positions: Tensor, tokens: Tensor, layer: int, window: int | None) -> Tensor:
    """[n, 2]: for each of n places in a sequence, the sum of the hashes visible there, and how many of them are not
    numbers. With a window, the last `window` places are visible, including the place itself."""
    broken = positions.isnan() | tokens.isnan()
    pairs = positions.nan_to_num().long() * ODD[0] + tokens.nan_to_num().long() * ODD[1] + layer
    sums = torch.stack((scramble(pairs), broken.long()), dim=1).cumsum(0)
    if window is not None and len(sums) > window:
        sums = torch.cat((sums[:window], sums[window:] - sums[:-window]))
    return sums


def scramble(x: Tensor) -> Tensor:
    """A bijection of the 64-bit integers (after the finaliser of SplitMix64)."""
    for shift, factor in ((30, ODD[1]), (27, ODD[2])):
        x = (x ^ (x >> shift)) * factor
    return x ^ (x >> 31)


def use_hash_model(engine: Engine) -> HashModel:
    """Replaces the engine's own model by the hash model."""
    model = HashModel(engine.runner.model.config)
    engine.runner.model = model  # type: ignore[assignment]
    return model


def write_alone(config: ModelConfig, prompt: Sequence[int], sampling: SamplingParams) -> list[Sampled]:
    """A request's output by definition: whole, alone, without caches. `sampling` has a seed and max_tokens."""
    model, tokens, written = HashModel(config), list(prompt), list[Sampled]()
    stops = (*config.eos_token_ids, *sampling.stop_token_ids)
    assert sampling.max_tokens is not None
    while len(written) < sampling.max_tokens:
        positions, history = torch.arange(len(tokens)).float(), torch.tensor(tokens).float()
        hidden = sum(
            look(positions, history, layer, config.window if kind == "sliding_attention" else None)[-1:]
            for layer, kind in enumerate(config.layer_types)
        )
        seen = Occurrences(prompt, tokens[len(prompt) :]) if sampling.penalised else None
        sampler = Sampler([SamplingRow(sampling, occurrences=seen)], config.vocab_size, torch.device("cpu"), choose)
        (sampled,) = sampler(model.logits(hidden), [len(written)]).read()
        assert isinstance(sampled, Sampled)
        assert sampled.token_id is not None
        written.append(sampled)
        tokens.append(sampled.token_id)
        if sampled.token_id in stops:
            break
    return written


def ending(config: ModelConfig, sampling: SamplingParams, written: Sequence[Sampled]) -> FinishReason:
    stops = (*config.eos_token_ids, *sampling.stop_token_ids)
    return FinishReason.STOP if written[-1].token_id in stops else FinishReason.LENGTH
