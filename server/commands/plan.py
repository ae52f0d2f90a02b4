"""`carousel plan`: what fits in memory and the best possible speed, from the model's two configs alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import typer

from engine.checkpoint.config_json import read_expert_format, read_model_config
from engine.config import EngineConfig, ExpertFormat, ModelConfig
from engine.errors import ConfigError
from engine.floors import DecodeFloor
from engine.memory_plan import Machine, MemoryPlan, describe, plan_memory, size
from engine.memory_sizes import weights_bytes


@dataclass(frozen=True, slots=True)
class Device:
    """The device to plan for. `bandwidth` is in bytes per second, None if unknown; `total_bytes` is None if all of the
    memory is free."""

    memory_bytes: int
    is_gpu: bool
    bandwidth: float | None = None
    total_bytes: int | None = None


CARDS = {
    name: Device(int(gib * 2**30), True, gb_per_second * 1e9)
    for name, gib, gb_per_second in (
        ("a10", 22, 600),
        ("a100", 79, 2039),
        ("a100-40gb", 39, 1555),
        ("b200", 178, 8000),
        ("h100", 79, 3350),
        ("h200", 139, 4800),
        ("l4", 22, 300),
        ("l40s", 44, 864),
        ("rtx-3090", 23.5, 936),
        ("rtx-4090", 23.5, 1008),
        ("rtx-5090", 31, 1792),
        ("rtx-pro-6000", 94, 1792),
    )
}
"""The memory available to programs, in GiB, and the makers' figures for its bandwidth, in GB/s."""


def parse_card(name: str) -> str:
    """The name of one of CARDS. Raises BadParameter."""
    if name.lower() not in CARDS:
        raise typer.BadParameter(f"{name!r} is not among {', '.join(CARDS)}: give --memory and --bandwidth instead")
    return name.lower()


def choose_device(card: str | None, memory: int | None, bandwidth: int | None, device: str) -> Device:
    """The card, with the memory and bandwidth given instead of its own; this machine, if neither card nor memory is
    given. Raises ConfigError for a device that does not exist."""
    if card is not None:
        chosen = replace(CARDS[card], memory_bytes=memory or CARDS[card].memory_bytes)
    elif memory is not None:
        chosen = Device(memory, device != "cpu")
    else:
        chosen = this_machine(device)
    return replace(chosen, bandwidth=bandwidth or chosen.bandwidth)


def this_machine(device: str) -> Device:
    # Imported here: it needs torch, which a plan for a card does not.
    from engine.device import bytes_per_second, free_bytes, pick_device, total_bytes

    found = pick_device(device)
    try:
        return Device(free_bytes(found), found.type == "cuda", bytes_per_second(found), total_bytes(found))
    except RuntimeError as error:  # Of CUDA.
        raise ConfigError(f"--device {device}: {str(error).splitlines()[0]}") from error


def plan_here(config: EngineConfig) -> MemoryPlan:
    """The plan for this machine. Raises CheckpointError, ConfigError or MemoryPlanError."""
    return plan_on(
        this_machine(config.device), config, read_model_config(config.model), read_expert_format(config.model)
    )


def plan_on(device: Device, config: EngineConfig, model: ModelConfig, experts: ExpertFormat) -> MemoryPlan:
    """The plan that the engine would make on that device. Raises ConfigError or MemoryPlanError."""
    bfloat16 = config.dtype == "bfloat16"
    captured = device.is_gpu and bfloat16 and not config.deterministic
    return plan_memory(
        model,
        replace(config, enforce_eager=config.enforce_eager or not captured),
        Machine(
            device_bytes=device.memory_bytes,
            total_bytes=device.total_bytes or device.memory_bytes,
            on_gpu=device.is_gpu,
            holds_scores=not device.is_gpu or config.deterministic,
            sorts_logits=config.deterministic if device.is_gpu else not bfloat16,
        ),
        weights_bytes(
            model,
            config.dtype,
            experts,
            config.quantization,
            tiled=captured and experts == "mxfp4",
            resident=config.resident_experts,
        ),
    )


def plan_text(config: EngineConfig, device: Device) -> str:
    """The plan as text for people. Raises CheckpointError, ConfigError or MemoryPlanError."""
    model, experts = read_model_config(config.model), read_expert_format(config.model)
    plan = plan_on(device, config, model, experts)
    lines = [describe(plan), "", context_table(plan, DecodeFloor(model, config, experts), device.bandwidth)]
    if device.bandwidth is not None:
        gigabytes = f"{device.bandwidth / 1e9:,.0f} GB/s"
        lines.append(f"tok/s: the most that memory of {gigabytes} allows, for one request and for as many as fit")
    return "\n".join(lines)


def context_table(plan: MemoryPlan, floor: DecodeFloor, bandwidth: float | None) -> str:
    """For each context length: the size of a request's KV cache and how many requests fit, with rings and without, and
    the speeds that the floor allows, if the bandwidth is known."""
    rows: list[Sequence[str]] = [
        ("context", "KV a request", "without rings", "requests", "without rings", "tok/s of one", "tok/s of all")
    ]
    for length in table_lengths(plan.max_model_len):
        fit = plan.requests_at(length)
        rows.append(
            (
                f"{length:,}",
                size(plan.request_bytes(length)),
                size(plan.request_bytes_without_rings(length)),
                f"{fit}",
                f"{plan.requests_without_rings_at(length)}",
                *(f"{floor.tokens_per_second(batch, length, bandwidth or 0):,.0f}" for batch in (1, fit)),
            )
        )
    columns = 5 if bandwidth is None else 7
    return "\n".join("  ".join(f"{cell:>13}" for cell in row[:columns]) for row in rows)


def table_lengths(longest: int) -> list[int]:
    """
    >>> table_lengths(10000)
    [1024, 4096, 10000]
    """
    lengths, length = [], 1024
    while length < longest:
        lengths.append(length)
        length *= 4
    return [*lengths, longest]
