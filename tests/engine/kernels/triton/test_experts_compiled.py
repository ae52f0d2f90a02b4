"""The experts' kernels as machine code, with the constants their launcher chooses for hidden and inner 2880."""

from dataclasses import replace
from unittest import mock

import pytest
import torch

from engine.kernels.triton import experts, routing
from engine.kernels.triton.repack import DenseProduct, KernelProduct, TiledProduct
from tests.engine.kernels.triton.ahead import Binary, Kernel, compile_ahead
from tests.engine.kernels.triton.launches import record_launches
from tests.engine.kernels.triton.pending import overwritten_operands, reads_registers, unguarded_copies

SIZE = 2880
PRODUCTS = ("gate_up_kernel", "down_kernel")
INSTRUCTIONS = {80: "HMMA", 90: "HGMMA", 100: "UTCHMMA"}
"""The tensor cores' instruction by compute capability."""


def launches(tokens: int, capability: int, *, dense: bool = False) -> dict[str, Kernel]:
    """Everything that a batch of so many tokens launches, each with four of 32 experts, by the kernels' names."""
    groups = -(-SIZE // 128)

    def product(rows: int) -> KernelProduct:
        if dense:
            matrix = torch.empty(32, rows, SIZE, dtype=torch.bfloat16, device="meta")
            return DenseProduct(matrix, matrix[:, :, 0])
        tiles = torch.empty(32, rows // 64, groups, 64, 16, dtype=torch.int32, device="meta")
        scales = torch.empty(tiles.shape[:-1], dtype=torch.int32, device="meta")
        bias = torch.empty(32, rows, dtype=torch.bfloat16, device="meta")
        return TiledProduct(tiles, scales, bias, SIZE, 0)

    x = torch.empty(tokens, SIZE, dtype=torch.bfloat16, device="meta")
    ids = torch.empty(tokens, 4, dtype=torch.int64, device="meta")
    weights = torch.empty(tokens, 4, dtype=torch.bfloat16, device="meta")

    def step() -> None:
        experts.mix_experts(x, ids, weights, product(2 * SIZE), product(SIZE), 1.702, 7.0, x)

    with mock.patch.object(experts, "multiplies_by_warpgroups", return_value=capability >= 90):
        recorded = record_launches(step, experts, routing)
    compiled = {"PTX": True}
    return {
        kernel.name.split(":")[1]: replace(
            kernel,
            capability=capability,
            constants={name: compiled.get(name, value) for name, value in kernel.constants.items()},
        )
        for kernel in recorded
    }


STEPS = [(1, 90), (32, 90), (128, 90), (256, 90), (2048, 80), (2048, 90), (2048, 100)]
"""Tokens, and the GPU's compute capability: every width of tiles."""


@pytest.fixture(scope="module")
def binaries() -> dict[tuple[int, int], dict[str, Binary]]:
    """The products' kernels of every step, and of one step the others too."""
    wanted = [
        (step, name, kernel)
        for step in STEPS
        for name, kernel in launches(*step).items()
        if name in PRODUCTS or step == (32, 90)
    ]
    found: dict[tuple[int, int], dict[str, Binary]] = {step: {} for step in STEPS}
    for (step, name, _), binary in zip(wanted, compile_ahead([kernel for *_, kernel in wanted]), strict=True):
        found[step][name] = binary
    return found


def instructions_per_weight(kernel: Kernel, binary: Binary) -> float:
    """Instructions of a thread in one turn of the main loop, by the weights of the turn that it unpacks."""
    threads, weights = 32 * kernel.num_warps, 128 * kernel.constants["ROWS"]
    return min(len(body) for body in binary.loops("MMA")) * threads / weights


def test_steps_of_one_width_of_tiles_run_the_same_kernels() -> None:
    """Whatever their number of tokens; the recorder looks at where tensors begin."""
    variants: dict[str, tuple[set[str], set[str]]] = {}
    for tokens in range(5, 420):
        for name, kernel in launches(tokens, 90).items():
            kernels, constants = variants.setdefault(name, (set(), set()))
            kernels.add(repr(kernel))
            constants.add(repr(kernel.constants))
    assert [len(kernels) for kernels, _ in variants.values()] == [1, 4, 4, 4, 1]
    assert all(len(kernels) == len(constants) for kernels, constants in variants.values())


def test_the_launches_of_small_and_large_batches() -> None:
    assert list(launches(4, 90)) == [*PRODUCTS]
    assert list(launches(5, 90)) == ["count_pairs", "place_pairs", *PRODUCTS, "mix_kernel"]


def test_nothing_spills(binaries: dict[tuple[int, int], dict[str, Binary]]) -> None:
    spills = {(step, name): binary.spills for step in STEPS for name, binary in binaries[step].items()}
    assert spills == dict.fromkeys(spills, 0)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_the_tensor_cores_are_used(binaries: dict[tuple[int, int], dict[str, Binary]], step: tuple[int, int]) -> None:
    instruction = INSTRUCTIONS[step[1]]
    for name in PRODUCTS:
        assert binaries[step][name].count(instruction) > 0, name
        assert binaries[step][name].count("LDGSTS") > 0, f"{name} does not load ahead"


@pytest.mark.parametrize("step", [step for step in STEPS if step[1] == 90], ids=str)
def test_nothing_is_written_over_weights_that_the_tensor_cores_still_read(
    binaries: dict[tuple[int, int], dict[str, Binary]], step: tuple[int, int]
) -> None:
    for name in PRODUCTS:
        loops = binaries[step][name].loops("HGMMA")
        assert any(reads_registers(loop) for loop in loops)
        assert all(overwritten_operands(loop) == [] for loop in loops), name
        if launches(*step)[name].num_warps == 8:
            assert all(unguarded_copies(loop) == [] for loop in loops), name


def test_dense_matrices_of_a_prompts_step() -> None:
    """What a program keeps in shared memory fits where it is to run: 99 KiB on every GPU from 8.0 on, 227 on Hopper's
    and the data centre's Blackwell."""
    wanted = [(80, PRODUCTS[0]), (90, PRODUCTS[0]), (90, PRODUCTS[1]), (100, PRODUCTS[0])]
    kernels = [launches(2048, capability, dense=True)[name] for capability, name in wanted]
    for (capability, name), binary in zip(wanted, compile_ahead(kernels), strict=True):
        assert binary.spills == 0, name
        assert binary.count(INSTRUCTIONS[capability]) > 0, name
        assert binary.count("LDGSTS") > 0, f"{name} does not load ahead"
        assert binary.shared <= (227 if capability >= 90 else 99) * 1024
        assert all(overwritten_operands(loop) == unguarded_copies(loop) == [] for loop in binary.loops("HGMMA"))


@pytest.mark.parametrize(("tokens", "most"), [(1, 4.0), (32, 3.2), (256, 3.6)])
def test_a_weight_of_a_decode_batch_takes_few_instructions(
    binaries: dict[tuple[int, int], dict[str, Binary]], tokens: int, most: float
) -> None:
    """A GPU that is to read MXFP4 at full speed has time for about four instructions a weight."""
    for name in PRODUCTS:
        binary = binaries[tokens, 90][name]
        count = instructions_per_weight(launches(tokens, 90)[name], binary)
        print(f"{name}, {tokens} tokens: {count:.2f} instructions a weight, {binary.registers} registers")
        assert count <= most
