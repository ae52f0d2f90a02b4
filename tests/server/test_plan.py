"""`carousel plan`: tables from a config.json, for cards that are not there."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

import engine.device
import server.commands.plan
from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.hub import EMBEDDED
from engine.config import Dtype, EngineConfig, ModelConfig
from engine.kernels.cpu.build import find_compiler
from engine.kernels.table import select_ops
from engine.kernels.triton import driver
from engine.memory_plan import Machine
from engine.memory_sizes import weights_bytes
from engine.model.weights import TORCH_DTYPES
from server.cli import app
from server.commands.plan import CARDS, Device, choose_device, plan_on
from tests.engine.checkpoint.published import HUGGING_FACE_20B, write_json

MIB = 2**20


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A directory with 20b's config.json and nothing else."""
    write_json(tmp_path / "config.json", HUGGING_FACE_20B)
    return tmp_path


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def table(output: str) -> list[list[str]]:
    """The rows under the heading, cell by cell."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("context "))
    rows = [line for line in lines[start:] if line.lstrip()[:1].isdigit()]
    return [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]


def test_a_card(published: Path) -> None:
    result = plan(str(published), "--card", "h200")
    assert result.exit_code == 0, result.stderr
    rows = table(result.stdout)
    assert [row[0] for row in rows] == ["1,024", "4,096", "16,384", "65,536", "131,072"]
    longest = rows[-1]
    assert longest[1:3] == ["3,075.0 MiB", "6,144.0 MiB"]
    assert int(longest[3]) == 2 * int(longest[4])
    assert all(float(row[5].replace(",", "")) <= float(row[6].replace(",", "")) for row in rows)
    assert "the most that memory of 4,800 GB/s allows" in result.stdout


def test_the_floor_is_in_proportion_to_the_bandwidth(published: Path) -> None:
    speeds = [
        float(table(plan(str(published), "--memory", "80G", "--bandwidth", bandwidth).stdout)[0][5].replace(",", ""))
        for bandwidth in ("4.3TB", "430GB")
    ]
    assert speeds == [1151, 115]


def test_without_a_bandwidth_there_are_no_speeds(published: Path) -> None:
    output = plan(str(published), "--memory", "80G").stdout
    assert "tok/s" not in output
    assert {len(row) for row in table(output)} == {5}


def test_parts_of_a_card_may_be_replaced() -> None:
    assert choose_device("l4", None, None, "auto") == CARDS["l4"]
    changed = choose_device("l4", 48 * MIB, 10**9, "auto")
    assert (changed.memory_bytes, changed.bandwidth, changed.is_gpu) == (48 * MIB, 10**9, True)
    assert not choose_device(None, MIB, None, "cpu").is_gpu


def test_of_this_machine_it_is_known_what_is_free_and_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.device, "pick_device", torch.device)
    monkeypatch.setattr(engine.device, "bytes_per_second", lambda device: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30 * MIB, 80 * MIB))
    assert choose_device(None, None, None, "cuda") == Device(30 * MIB, True, None, 80 * MIB)


def test_this_machine() -> None:
    result = plan("--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "tok/s" not in result.stdout


def test_a_gpu_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: torch.device) -> int:
        raise RuntimeError("the driver is too old\nthe rest")

    monkeypatch.setattr(engine.device, "free_bytes", fail)
    result = plan("--device", "cpu")
    assert (result.exit_code, result.stderr) == (1, "carousel: --device cpu: the driver is too old\n")


def test_the_flags_of_serve_that_change_the_plan(published: Path) -> None:
    """Without kernels there are no graphs, no tiles, and sampling sorts the logits."""
    usual, deterministic = (plan(str(published), "--card", "h200", *more).stdout for more in ([], ["--deterministic"]))
    assert "CUDA graphs" in usual
    assert "CUDA graphs" not in deterministic
    refused = plan(str(published), "--card", "h200", "--deterministic", "--resident-experts")
    assert refused.exit_code == 1
    assert "without --deterministic" in refused.stderr


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_it_plans_as_the_engine_does(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: Dtype, deterministic: bool
) -> None:
    if device == "cpu" and find_compiler() is None:
        pytest.skip("no C++ compiler: here the ops run as plain torch")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(driver, "start_driver", lambda: None)
    ops = select_ops(torch.device(device), TORCH_DTYPES[dtype], TORCH_DTYPES[dtype], deterministic=deterministic)
    config = EngineConfig(model=EMBEDDED, dtype=dtype, deterministic=deterministic)
    told = []

    def plan_memory(model: ModelConfig, config: EngineConfig, machine: Machine, weights_bytes: int) -> None:
        told.append((config, machine, weights_bytes))

    monkeypatch.setattr(server.commands.plan, "plan_memory", plan_memory)
    model = read_model_config(EMBEDDED)
    plan_on(Device(2**30, device == "cuda"), config, model, "mxfp4")
    ((planned, machine, weights),) = told
    assert (machine.holds_scores, machine.sorts_logits) == (ops.holds_scores, ops.sorts_logits)
    assert weights == weights_bytes(model, dtype, "mxfp4", tiled=ops.tiles_experts)
    if device == "cuda":
        assert planned.enforce_eager != ops.capturable


def test_an_unknown_card() -> None:
    result = plan("--card", "h2o")
    assert result.exit_code == 2
    assert "h2o" in result.stderr
    assert "h200" in result.stderr


def test_too_small_a_card(published: Path) -> None:
    result = plan(str(published), "--card", "l4", "--gpu-memory-utilization", "0.5")
    assert result.exit_code == 1
    assert "do not fit" in result.stderr
    assert "more memory is needed, see `carousel plan`" in plan(str(published), "--memory", "8G").stderr
