"""The attention kernels as machine code, with the constants their launchers choose for 64 heads of 64 over 8."""

from dataclasses import replace

import pytest
import torch

from engine.kernels.triton import paged_attention, ring_attention, write_keys
from tests.engine.kernels.attention_case import Case, page_caches, prepare, ring_caches
from tests.engine.kernels.triton.ahead import Kernel, compile_ahead
from tests.engine.kernels.triton.launches import record_launches
from tests.engine.kernels.triton.pending import overwritten_operands, unguarded_copies

MIXED_STEP = ((300, 1), (40, 20))
SHARED = {80: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024}
"""Bytes that a program may keep in shared memory, by compute capability: Hopper and the data centre's Blackwell have
most; 8.0 stands for cards that have less than it, too."""


def attention_launches(head_dim: int, kv_dtype: torch.dtype = torch.bfloat16) -> dict[str, Kernel]:
    """Every kernel of a step that decodes and prefills, by its name."""
    case = Case(
        MIXED_STEP, heads=64, kv_heads=8, head_dim=head_dim, window=128, dtype=torch.bfloat16, kv_dtype=kv_dtype
    )
    batch, inputs = prepare(case)

    def step() -> None:
        ring_attention.ring_attention(*inputs, *ring_caches(case, batch), case.window, batch)
        paged_attention.paged_attention(*inputs, *page_caches(case, batch), batch)

    modules = ring_attention, paged_attention, write_keys
    launches = record_launches(step, *modules)
    return {launch.name.split(":")[1]: launch for launch in launches}


def test_the_launches_of_a_step() -> None:
    assert list(attention_launches(64)) == [
        "ring_decode", "write_keys_kernel", "ring_prefill", "paged_decode", "combine_splits", "paged_prefill"
    ]  # fmt: skip


def test_on_hopper_nothing_spills_and_tensor_cores_and_loads_ahead_are_used() -> None:
    launches = attention_launches(64)
    binaries = dict(zip(launches, compile_ahead(list(launches.values())), strict=True))
    assert {name: binary.spills for name, binary in binaries.items()} == dict.fromkeys(binaries, 0)
    assert all(binary.shared <= SHARED[90] for binary in binaries.values())
    for kind, instruction in ("prefill", "HGMMA"), ("decode", "HMMA"):
        for name in (f"ring_{kind}", f"paged_{kind}"):
            assert binaries[name].count(instruction) > 0, name
            assert binaries[name].count("LDGSTS") > 0, name
            loops = binaries[name].loops("HGMMA")
            assert all(overwritten_operands(loop) == unguarded_copies(loop) == [] for loop in loops), name


@pytest.mark.parametrize(
    ("capability", "head_dim", "kv_dtype", "instruction"),
    [
        (80, 64, torch.bfloat16, "HMMA"),
        (90, 128, torch.bfloat16, "HGMMA"),
        (90, 64, torch.float8_e4m3fn, "HGMMA"),
        (100, 64, torch.bfloat16, "UTCHMMA"),
    ],
)
def test_elsewhere(capability: int, head_dim: int, kv_dtype: torch.dtype, instruction: str) -> None:
    launches = attention_launches(head_dim, kv_dtype)
    kernels = [replace(launches[name], capability=capability) for name in ("paged_prefill", "paged_decode")]
    prefill, decode = compile_ahead(kernels)
    assert prefill.spills == decode.spills == 0
    assert max(prefill.shared, decode.shared) <= SHARED[capability]
    assert prefill.count(instruction) > 0
    assert decode.count("HMMA") > 0
    assert all(overwritten_operands(loop) == [] for loop in prefill.loops("HGMMA"))


@pytest.mark.parametrize("capability", [80, 90])
def test_prompts_with_heads_of_128_fit_into_shared_memory(capability: int) -> None:
    """They keep the most there."""
    launches = attention_launches(128)
    names = "ring_prefill", "paged_prefill"
    kernels = [replace(launches[name], capability=capability) for name in names]
    shared = {name: binary.shared for name, binary in zip(names, compile_ahead(kernels), strict=True)}
    assert max(shared.values()) <= SHARED[capability], shared
