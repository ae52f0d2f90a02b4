"""How the memory is shared out, before any of it is allocated: how many requests fit, and how long they get.

Every request slot owns rings for the sliding layers, whatever its length; what the rings leave becomes pages
for the full layers. One request of `max_model_len` always fits in the pages, so preemption makes progress.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from engine.config import EngineConfig, ModelConfig
from engine.errors import ConfigError, MemoryPlanError
from engine.memory_sizes import KvSizes, graphs_bytes, kv_sizes, saved_by_fp8, workspace_bytes
from engine.plan import pages_for

GPU_MAX_NUM_SEQS = 256
CPU_MAX_NUM_SEQS = 16
CPU_SHARE = 4
"""A CPU's caches take at most 1 / CPU_SHARE of the memory that is left: other programs live there too."""
FREE_SHARE = 0.9
"""The share of a GPU's free memory that is used at most, unless --gpu-memory-utilization is higher."""
KEPT_BYTES = 2 * 2**30
"""Always left free on a GPU: 2 GiB, or a tenth of free memory if that is less, for the driver and torch's
fragmentation."""
RINGS_SHARE = 4
"""Before the context is shortened, the number of requests is lowered to CPU_MAX_NUM_SEQS, and further until their rings
take at most 1 / RINGS_SHARE of the caches."""
FEW_BATCHED_TOKENS = 512
FP8_SETTINGS = "quantization", "kv_cache_dtype"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What is allocated at start. `notes` say, one line each, what was lowered to fit."""

    weights_bytes: int
    workspace_bytes: int
    graphs_bytes: int
    kv_budget_bytes: int
    kv: KvSizes
    page_size: int
    num_pages: int
    max_num_seqs: int
    max_model_len: int
    notes: tuple[str, ...] = ()

    @property
    def kv_cache_bytes(self) -> int:
        """Bytes of the budget that rings and pages use."""
        return self.max_num_seqs * self.kv.rings + self.num_pages * self.page_size * self.kv.token

    def pages_for(self, length: int) -> int:
        """Pages of a request of `length` tokens: with pages of 16, one for 16 tokens, two for 17."""
        return pages_for(length, self.page_size)

    def request_bytes(self, length: int) -> int:
        """Keys and values of one request of `length` tokens."""
        return self.kv.rings + self.pages_for(length) * self.page_size * self.kv.token

    def request_bytes_without_rings(self, length: int) -> int:
        """The same if every layer kept every position."""
        return self.pages_for(length) * self.page_size * self.kv.whole_token

    def requests_at(self, length: int) -> int:
        """How many requests of `length` tokens run at once."""
        return min(self.max_num_seqs, self.num_pages // self.pages_for(length))

    def requests_without_rings_at(self, length: int) -> int:
        """How many would run, in the same memory, if every layer kept every position."""
        return min(self.max_num_seqs, self.kv_cache_bytes // self.request_bytes_without_rings(length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine that the model runs on: bytes free before the weights are loaded, bytes in all, whether it is a GPU,
    whether attention may hold scores in memory, and whether filters sort logits (the references do both, the Triton
    kernels neither)."""

    device_bytes: int
    total_bytes: int
    on_gpu: bool
    holds_scores: bool
    sorts_logits: bool


def plan_memory(model: ModelConfig, engine: EngineConfig, machine: Machine, weights_bytes: int) -> MemoryPlan:
    """Shares out the machine's free memory.

    The caches get --kv-cache-memory-bytes if that is given. Otherwise, on a GPU, they get --gpu-memory-utilization of
    all its memory, as far as that is free, less weights, workspace and CUDA graphs; on a CPU, a quarter of what weights
    and workspace leave. They never get more than all requests at full length need. Automatic numbers are lowered until
    they fit: max_num_seqs by halves, then max_model_len.

    Raises MemoryPlanError if the weights, or one request of the length asked for, do not fit; ConfigError for
    a length beyond the model's positions.
    """
    if engine.max_model_len is not None and engine.max_model_len > model.max_position:
        raise ConfigError(
            f"--max-model-len {engine.max_model_len} is beyond the model's {model.max_position} positions"
        )
    plan = least_lowered(model, engine, machine, weights_bytes)
    length = engine.max_model_len or model.max_position
    if not fits(plan, engine):
        flags = what_would_fit(model, engine, machine, weights_bytes)
        raise MemoryPlanError(shortage(plan, engine, length, machine, flags))
    return replace(plan, notes=notes(plan, engine, length, machine.on_gpu))


def least_lowered(model: ModelConfig, engine: EngineConfig, machine: Machine, weights_bytes: int) -> MemoryPlan:
    """The first plan that `fits`, or the last one that does not."""
    length = engine.max_model_len or model.max_position
    for seqs in slot_choices(engine, machine.on_gpu):
        plan = share_out(model, engine, seqs, length, machine, weights_bytes)
        few = seqs <= CPU_MAX_NUM_SEQS and seqs * plan.kv.rings <= plan.kv_budget_bytes // RINGS_SHARE
        may_shorten = engine.max_model_len is None and (few or seqs == 1 or engine.max_num_seqs is not None)
        if plan.max_model_len == length or (plan.max_model_len > 0 and may_shorten):
            break
    return plan


def fits(plan: MemoryPlan, engine: EngineConfig) -> bool:
    """Whether a request of the length asked for fits, or one of any length."""
    return plan.max_model_len >= (engine.max_model_len or 1)


def slot_choices(engine: EngineConfig, on_gpu: bool) -> Iterator[int]:
    """The operator's number, or the automatic one (at most what one step can decode), its half, its quarter, … 1."""
    if engine.max_num_seqs is not None:
        yield engine.max_num_seqs
        return
    seqs = min(GPU_MAX_NUM_SEQS if on_gpu else CPU_MAX_NUM_SEQS, engine.max_num_batched_tokens)
    while seqs:
        yield seqs
        seqs //= 2


def share_out(
    model: ModelConfig, engine: EngineConfig, seqs: int, length: int, machine: Machine, weights_bytes: int
) -> MemoryPlan:
    """The plan for `seqs` requests of up to `length` tokens; its `max_model_len` is less, down to 0, if one
    such request does not fit."""
    kv = kv_sizes(model, engine.kv_element_bytes)
    workspace = workspace_bytes(
        model,
        engine.dtype,
        engine.max_num_batched_tokens,
        seqs,
        holds_scores=machine.holds_scores,
        sorts_logits=machine.sorts_logits,
    )
    captures = machine.on_gpu and not engine.enforce_eager
    graphs = graphs_bytes(model, engine.dtype, seqs, pages_for(length, engine.page_size)) if captures else 0
    budget = kv_budget(engine, machine, weights_bytes + workspace + graphs)
    left = budget - seqs * kv.rings
    wanted_pages = seqs * pages_for(length, engine.page_size)
    page_bytes = kv.token * engine.page_size
    pages = min(wanted_pages, left // page_bytes if page_bytes else wanted_pages) if left >= 0 else 0
    return MemoryPlan(
        weights_bytes=weights_bytes,
        workspace_bytes=workspace,
        graphs_bytes=graphs,
        kv_budget_bytes=budget,
        kv=kv,
        page_size=engine.page_size,
        num_pages=pages,
        max_num_seqs=seqs,
        max_model_len=min(length, pages * engine.page_size),
    )


def kv_budget(engine: EngineConfig, machine: Machine, fixed: int) -> int:
    """Bytes for the caches besides `fixed` bytes of weights, workspace and graphs; 0 if there is no room for them."""
    wanted = engine.kv_cache_memory_bytes
    if wanted is not None:
        return wanted if fixed + wanted <= machine.device_bytes - kept(machine) else 0
    if machine.on_gpu:
        share = engine.gpu_memory_utilization
        return max(0, most_used(machine, share) - fixed)
    return max(0, machine.device_bytes - fixed) // CPU_SHARE


def most_used(machine: Machine, share: float) -> int:
    """Bytes of a GPU that may be used at this --gpu-memory-utilization."""
    free = machine.device_bytes
    return int(min(machine.total_bytes * share, free * max(share, FREE_SHARE), free - kept(machine)))


def kept(machine: Machine) -> int:
    """Bytes of a GPU that are always left free."""
    return min(KEPT_BYTES, machine.device_bytes - int(machine.device_bytes * FREE_SHARE)) if machine.on_gpu else 0


def notes(plan: MemoryPlan, engine: EngineConfig, length: int, on_gpu: bool) -> tuple[str, ...]:
    wanted_seqs = next(slot_choices(engine, on_gpu))
    return tuple(
        f"{name} lowered from {wanted:,} to {got:,} to fit {size(plan.kv_budget_bytes)} of KV cache"
        for name, wanted, got in (
            ("max_num_seqs", wanted_seqs, plan.max_num_seqs),
            ("max_model_len", length, plan.max_model_len),
        )
        if got < wanted
    )


def what_would_fit(model: ModelConfig, engine: EngineConfig, machine: Machine, weights_bytes: int) -> str:
    """The fewest of the settings that cost little with which a plan fits, as flags; "" if none does."""
    settings: list[tuple[str, Any]] = [(name, "fp8") for name in FP8_SETTINGS if getattr(engine, name) != "fp8"]
    if engine.max_num_batched_tokens > FEW_BATCHED_TOKENS >= (engine.max_num_seqs or 1):
        settings.insert(0, ("max_num_batched_tokens", FEW_BATCHED_TOKENS))
    for count in range(1, len(settings) + 1):
        for chosen in combinations(settings, count):
            changed = replace(engine, **dict(chosen))
            saved = saved_by_fp8(model, engine.dtype) if changed.quantization != engine.quantization else 0
            if fits(least_lowered(model, changed, machine, weights_bytes - saved), changed):
                return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen)
    return ""


def shortage(plan: MemoryPlan, engine: EngineConfig, length: int, machine: Machine, flags: str) -> str:
    """Why `plan` does not fit: one line with the numbers and the flags that would help."""
    asked = engine.kv_cache_memory_bytes
    share = f" at --gpu-memory-utilization {engine.gpu_memory_utilization}" if machine.on_gpu and asked is None else ""
    left = f", of which {size(kept(machine))} are left to the driver and to torch" if machine.on_gpu else ""
    if plan.kv_budget_bytes == 0:
        caches = f" and --kv-cache-memory-bytes of {size(asked)}" if asked is not None else ""
        graphs = f", CUDA graphs of {size(plan.graphs_bytes)} (--enforce-eager: none)" if plan.graphs_bytes else ""
        return (
            f"weights of {size(plan.weights_bytes)} and workspace of {size(plan.workspace_bytes)}{graphs}{caches} do "
            f"not fit in {size(machine.device_bytes)} of free memory{share}{left}: "
            f"{f'they would with {flags}' if flags else 'more memory is needed'}, see `carousel plan`"
        )
    pages = plan.request_bytes(length) - plan.kv.rings
    raises = most_used(machine, 1.0) > most_used(machine, engine.gpu_memory_utilization)
    flag = "--kv-cache-memory-bytes" if not share else "--gpu-memory-utilization" if raises else None
    return (
        f"a request of {length:,} tokens needs {size(pages)} of pages, beside {plan.max_num_seqs} times "
        f"{size(plan.kv.rings)} of rings, but the KV cache has {size(plan.kv_budget_bytes)}{share}: lower "
        f"--max-model-len or --max-num-seqs{f', or raise {flag}' if flag else ''}"
        f"{f'; it would fit with {flags}' if flags else ''}"
    )


def describe(plan: MemoryPlan) -> str:
    """The plan in a few lines, for the start of a server."""
    slots, longest = plan.max_num_seqs, plan.max_model_len
    graphs = f", CUDA graphs {size(plan.graphs_bytes)}" if plan.graphs_bytes else ""
    lines = [
        f"weights   {size(plan.weights_bytes)}, workspace {size(plan.workspace_bytes)}{graphs}",
        f"KV cache  {size(plan.kv_cache_bytes)}: {slots} slots with {size(plan.kv.rings)} of rings, "
        f"{plan.num_pages:,} pages of {plan.page_size} tokens at {size(plan.kv.token)} a token",
        f"context   {longest:,} tokens, for {plan.requests_at(longest)} at once",
    ]
    return "\n".join(lines + [f"note      {note}" for note in plan.notes])


def size(count: int) -> str:
    """
    >>> size(24 * 1024), size(3075 * 2**20), size(13 * 2**30)
    ('24.0 KiB', '3,075.0 MiB', '13.0 GiB')
    """
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if count >= 10 << shift or (unit == "MiB" and count >= 1 << shift):
            return f"{count / (1 << shift):,.1f} {unit}"
    return f"{count / 1024:,.1f} KiB"
