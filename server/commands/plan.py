"""`carousel plan`: what fits in which memory, from config.json alone."""

from dataclasses import dataclass

from engine.checkpoint.config_json import read_expert_format, read_model_config
from engine.config import EngineConfig
from engine.memory_plan import context_table, describe, plan_memory
from engine.memory_sizes import weights_bytes


@dataclass(frozen=True, slots=True)
class Device:
    """Where the model is to run."""

    memory_bytes: int
    is_gpu: bool


def this_machine(device: str) -> Device:
    """Raises ConfigError for a device that is not there."""
    from engine.device import (
        free_bytes,
        pick_device,
    )  # Here, for it imports torch, which a plan does not need.

    found = pick_device(device)
    return Device(free_bytes(found), found.type == "cuda")


def plan_text(config: EngineConfig, device: Device) -> str:
    """The plan for a person. Raises CheckpointError, ConfigError or MemoryPlanError."""
    model, experts = read_model_config(config.model), read_expert_format(config.model)
    tiled = device.is_gpu and experts == "mxfp4" and config.dtype == "bfloat16"
    plan = plan_memory(
        model,
        config,
        weights_bytes=weights_bytes(model, config.dtype, experts, tiled=tiled, resident=config.resident_experts),
        device_bytes=device.memory_bytes,
        on_gpu=device.is_gpu,
    )
    return f"{describe(plan)}\n\n{context_table(plan)}"
