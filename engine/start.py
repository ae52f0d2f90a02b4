"""From a configuration to a running engine: read the config, plan the memory, load the weights, make the caches."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from engine.buckets import decode_buckets, recorded_sizes
from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.checkpoint.config_json import read_expert_format, read_model_config
from engine.checkpoint.dummy import fill_random
from engine.checkpoint.load import load_weights
from engine.checkpoint.turn_ends import with_turn_ends
from engine.checkpoint.verify import verify_checkpoint
from engine.config import EngineConfig, ModelConfig
from engine.device import free_bytes, make_current, pick_device, total_bytes, use_huge_pages
from engine.engine import Engine
from engine.faults import FaultyModel
from engine.grammar import GrammarCompiler
from engine.kernels.cpu.recording import CannotRecordError, Recorder
from engine.kernels.table import compiles_first, select_ops
from engine.memory_plan import Machine, MemoryPlan, describe, plan_memory
from engine.memory_sizes import weights_bytes
from engine.model.gpt_oss import GptOss
from engine.model.weights import TORCH_DTYPES, empty_weights
from engine.runner.graphs import CudaCapture
from engine.runner.runner import Runner
from engine.runner.warming import warm_up
from engine.scheduler.scheduler import Scheduler
from engine.streams import COMPILING, EngineInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """A running engine, its memory plan, the plan in words, and what clients may know."""

    engine: Engine
    plan: MemoryPlan
    description: str
    info: EngineInfo


Progress = Callable[[str, int, int], None]
"""Called with what the engine is doing, how much of it is done, and how much there is."""


def start_engine(
    config: EngineConfig,
    progress: Progress = lambda what, done, total: None,
    on_plan: Callable[[str], None] = lambda description: None,
) -> Started:
    """Loads the checkpoint and builds the engine. `on_plan` gets the memory plan in words before memory is allocated.

    Raises CheckpointError, ConfigError or MemoryPlanError before any weight is read.
    """
    use_huge_pages()
    model_config = with_turn_ends(read_model_config(config.model), config.model)
    device, dtype = pick_device(config.device), TORCH_DTYPES[config.dtype]
    make_current(device)
    manifest = None if config.load_format == "dummy" else verify_checkpoint(config.model, model_config)
    experts = read_expert_format(config.model) if manifest is None else manifest.experts
    kv_dtype = torch.float8_e4m3fn if config.kv_cache_dtype == "fp8" else dtype
    progress(COMPILING if compiles_first(device, dtype) else "preparing the kernels", 0, 1)
    ops = select_ops(device, dtype, kv_dtype, deterministic=config.deterministic)
    if not ops.capturable or config.faults is not None:
        config = replace(config, enforce_eager=True)
    plan = plan_memory(
        model_config,
        config,
        Machine(
            device_bytes=free_bytes(device),
            total_bytes=total_bytes(device),
            on_gpu=device.type == "cuda",
            holds_scores=ops.holds_scores,
            sorts_logits=ops.sorts_logits,
        ),
        weights_bytes(
            model_config,
            config.dtype,
            experts,
            config.quantization,
            tiled=ops.tiles_experts,
            resident=config.resident_experts,
        ),
    )
    description = f"device    {device}\n{describe(plan)}"
    on_plan(description)
    weights = empty_weights(model_config, experts, config.dtype, device, config.quantization)
    if manifest is None:
        fill_random(weights, config.seed)
    else:
        load_weights(manifest, weights, partial(progress, "loading weights"))
    build = GptOss if config.faults is None else partial(FaultyModel, plan=config.faults)
    runner = Runner(
        build(model_config, weights, ops.with_resident_experts() if config.resident_experts else ops),
        RollingCache(model_config, plan.max_num_seqs, kv_dtype, device),
        PagedCache(model_config, plan.num_pages, plan.page_size, kv_dtype, device),
        device,
    )
    if not config.enforce_eager:
        capture(runner, plan, progress)
    if device.type == "cuda":
        longest_prompt = min(config.max_num_batched_tokens, plan.max_model_len)
        warm_up(runner, plan.max_num_seqs, longest_prompt, partial(progress, "compiling kernels"))
    engine = Engine(
        runner,
        Scheduler(
            slots=plan.max_num_seqs,
            pages=plan.num_pages,
            page_size=plan.page_size,
            max_batched_tokens=config.max_num_batched_tokens,
            ring_pages=runner.ring_pages.count if config.enable_prefix_caching else None,
        ),
        max_model_len=plan.max_model_len,
        grammars=GrammarCompiler(config.model / "tokenizer.json", model_config.vocab_size, model_config.eos_token_ids),
        seed=config.seed,
        runs_ahead=device.type == "cuda" if config.run_ahead is None else config.run_ahead,
        poison_freed=config.poison_freed,
    )
    return Started(engine, plan, description, public_info(plan, config, model_config, device))


def public_info(plan: MemoryPlan, config: EngineConfig, model: ModelConfig, device: torch.device) -> EngineInfo:
    return EngineInfo(
        max_model_len=plan.max_model_len,
        max_num_seqs=plan.max_num_seqs,
        max_waiting=config.max_waiting,
        vocab_size=model.vocab_size,
        device=str(device),
        weights_bytes=plan.weights_bytes,
        kv_cache_bytes=plan.kv_cache_bytes,
        kv_token_bytes=plan.kv.token,
        kv_ring_bytes=plan.kv.rings,
        page_size=plan.page_size,
    )


def capture(runner: Runner, plan: MemoryPlan, progress: Progress) -> None:
    """Captures decoding, so that each step is one call: as CUDA graphs, or as recordings of the C++ ops."""
    longest_pages, library = plan.pages_for(plan.max_model_len), runner.model.ops.library
    if library is None:
        capturing = partial(progress, "capturing CUDA graphs")
        runner.capture(CudaCapture(runner.device), decode_buckets(plan.max_num_seqs), longest_pages, capturing)
        return
    recording = partial(progress, "recording steps")
    try:
        runner.capture(Recorder(library), recorded_sizes(plan.max_num_seqs), longest_pages, recording)
    except CannotRecordError as reason:
        logger.warning("each op of a step is called from Python, which adds a millisecond: %s", reason)
