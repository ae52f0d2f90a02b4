"""Which implementation of an op runs where."""

import logging
import subprocess
import sys
from dataclasses import fields

import pytest
import torch

from engine.kernels.cpu.build import find_compiler
from engine.kernels.table import DETERMINISTIC, REFERENCE, TRITON, select_ops, triton_ops
from engine.kernels.triton import driver


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Triton had met a GPU."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(driver, "start_driver", lambda: None)


def test_a_start_on_a_cpu_imports_no_triton() -> None:
    code = "import sys, engine.start; assert not any(name.startswith('triton') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler: here the ops run as plain torch")
def test_a_cpu_runs_its_own_ops_in_bfloat16() -> None:
    cpu = torch.device("cpu")
    assert select_ops(cpu, torch.float32, torch.float32) is REFERENCE
    own = select_ops(cpu, torch.bfloat16, torch.bfloat16)
    assert not any(getattr(own, field.name) is getattr(REFERENCE, field.name) for field in fields(own))
    assert not own.tiles_experts
    assert own.holds_scores
    assert not own.sorts_logits
    fp8 = select_ops(cpu, torch.bfloat16, torch.float8_e4m3fn)
    assert fp8.paged_attention.func is own.paged_attention.func
    assert fp8.capturable


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float32), ("cuda", torch.bfloat16)])
def test_the_deterministic_ops_run_anywhere(device: str, dtype: torch.dtype) -> None:
    ops = select_ops(torch.device(device), dtype, dtype, deterministic=True)
    assert ops is DETERMINISTIC
    assert not ops.tiles_experts
    assert not ops.capturable
    assert ops.holds_scores
    assert ops.sorts_logits


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler: here the ops run as plain torch")
def test_the_ops_of_a_cpu_are_deterministic_and_leave_what_they_do_not_know_to_others_that_are() -> None:
    cpu = torch.device("cpu")
    usual = select_ops(cpu, torch.bfloat16, torch.bfloat16)
    ops = select_ops(cpu, torch.bfloat16, torch.bfloat16, deterministic=True)
    for name in ("norm_linear", "linear_add", "route", "mix_experts", "ring_attention", "paged_attention"):
        one, other = getattr(ops, name), getattr(usual, name)
        assert one.func is other.func
        assert one.keywords["otherwise"] is getattr(DETERMINISTIC, name)
        assert other.keywords["otherwise"] is getattr(REFERENCE, name)
    assert ops.capturable


def test_a_gpu_runs_every_kernel_there_is(caplog: pytest.LogCaptureFixture) -> None:
    ops = triton_ops((9, 0))
    assert ops.library is None
    for field in fields(ops):
        if field.name == "library":
            continue
        module = getattr(ops, field.name).__module__
        assert module == TRITON.get(field.name, getattr(REFERENCE, field.name).__module__)
    assert not ops.holds_scores
    assert not ops.sorts_logits
    assert not caplog.records


def test_an_old_gpu_runs_the_references_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert triton_ops((7, 5)) == REFERENCE
    assert [record.args[0] for record in caplog.records if record.args] == list(TRITON)
    assert "compute capability 7.5 is below 8.0" in caplog.text


def test_a_kernel_that_cannot_be_imported_leaves_the_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, TRITON["paged_attention"], None)
    ops = triton_ops((9, 0))
    assert ops.paged_attention is REFERENCE.paged_attention
    assert ops.ring_attention is not REFERENCE.ring_attention
    assert ops.holds_scores
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("launches")
def test_without_its_launcher_no_kernel_of_triton_runs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise driver.CannotLaunchError("no C compiler")

    monkeypatch.setattr(driver, "start_driver", fail)
    assert select_ops(torch.device("cuda"), torch.bfloat16, torch.bfloat16) is REFERENCE
    (record,) = caplog.records
    assert record.getMessage().endswith("without Triton's kernels: no C compiler")


@pytest.mark.usefixtures("launches")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_experts_kernel_is_for_bfloat16(caplog: pytest.LogCaptureFixture, dtype: torch.dtype) -> None:
    ops = select_ops(torch.device("cuda"), dtype, dtype)
    assert ops.ring_attention is not REFERENCE.ring_attention
    runs = dtype == torch.bfloat16
    assert ops.tiles_experts == runs
    assert (ops.mix_experts is not REFERENCE.mix_experts) == runs
    assert len(caplog.records) == (0 if runs else 1)


@pytest.mark.usefixtures("launches")
@pytest.mark.parametrize(("capability", "runs"), [((8, 0), False), ((8, 9), True), ((9, 0), True)])
def test_attention_over_fp8_caches_runs_where_the_gpu_knows_fp8(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], runs: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    ops = select_ops(torch.device("cuda"), torch.bfloat16, torch.float8_e4m3fn)
    assert ops.linear_add is not REFERENCE.linear_add
    assert (ops.ring_attention is not REFERENCE.ring_attention) == runs
    assert (ops.paged_attention is not REFERENCE.paged_attention) == runs
    assert len(caplog.records) == (0 if runs else 2)
