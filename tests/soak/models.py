"""The two models of the soak, small enough that rings wrap all the time, and how their engines are configured.

Both have a vocabulary of bytes. A request's output when it is alone comes from the definition (hash model), or from an
engine of one slot that reads the prompt whole (real model, whose deterministic ops give the same bits).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from engine.config import Dtype, EngineConfig, ModelConfig
from engine.memory_sizes import kv_sizes
from engine.request import FinishReason, Request, SamplingParams, TokenLogprob
from engine.start import start_engine
from tests.checkpoints import small_config, write_checkpoint
from tests.engines import run
from tests.server.byte_text import SPECIALS, byte_text
from tests.soak.hash_model import ending, hash_config, write_alone, write_hash_config

ModelName = Literal["hash", "real"]
Written = tuple[list[int], FinishReason, list[TokenLogprob]]
"""Token ids, the finish reason, and log-probabilities if they were asked for."""

WINDOW, SLOTS, QUEUE, LONGEST = 32, 8, 16, 256
PAGE_SIZE = 16
PAGES = 5 * LONGEST // PAGE_SIZE
"""Enough for five of the longest requests, so that of eight running together some are preempted at times."""
VOCAB = {"vocab_size": 256 + len(SPECIALS), "eos_token_ids": (256 + SPECIALS.index("<|return|>"),), "window": WINDOW}


DTYPES: dict[ModelName, Dtype] = {"hash": "float32", "real": "bfloat16"}
"""The real model runs as it is served on a CPU: in C++ ops, whose steps are recorded."""


def model_config(name: ModelName) -> ModelConfig:
    return hash_config(**VOCAB, max_position=LONGEST) if name == "hash" else small_config(**VOCAB, head_dim=32)


def write_model(name: ModelName, directory: Path) -> EngineConfig:
    """Writes the model's files for the engine, and returns how to serve it."""
    model = model_config(name)
    if name == "hash":
        write_hash_config(directory, model)
    else:
        write_checkpoint(directory, model)
    byte_text(directory)
    return engine_config(name, directory)


def engine_config(name: ModelName, directory: Path) -> EngineConfig:
    sizes = kv_sizes(model_config(name), element_bytes=4 if DTYPES[name] == "float32" else 2)
    return EngineConfig(
        model=directory,
        load_format="dummy" if name == "hash" else "auto",
        dtype=DTYPES[name],
        device="cpu",
        max_model_len=LONGEST,
        max_num_seqs=SLOTS,
        max_num_batched_tokens=64,
        max_waiting=QUEUE,
        page_size=PAGE_SIZE,
        kv_cache_memory_bytes=SLOTS * sizes.rings + PAGES * PAGE_SIZE * sizes.token,
        deterministic=True,
        poison_freed=True,
    )


def writer_alone(name: ModelName, directory: Path) -> Callable[[Sequence[int], SamplingParams], Written]:
    """Returns a function that gives a seeded request's output when nothing else runs."""
    if name == "hash":
        return hashed_alone
    engine = start_engine(
        EngineConfig(
            model=directory,
            dtype=DTYPES[name],
            device="cpu",
            max_model_len=LONGEST,
            max_num_seqs=1,
            max_num_batched_tokens=LONGEST,
            deterministic=True,
        )
    ).engine

    def write(prompt: Sequence[int], sampling: SamplingParams) -> Written:
        events = run(engine, [Request(id="alone", prompt_token_ids=tuple(prompt), sampling=sampling)])["alone"]
        finish = events[-1].finish_reason
        assert finish is not None
        return (
            [token for event in events for token in event.token_ids],
            finish,
            [entry for event in events for entry in event.logprobs],
        )

    return write


def hashed_alone(prompt: Sequence[int], sampling: SamplingParams) -> Written:
    config = model_config("hash")
    written = write_alone(config, prompt, sampling)
    tokens = [one.token_id for one in written if one.token_id is not None]
    return tokens, ending(config, sampling, written), [one.logprob for one in written if one.logprob is not None]
