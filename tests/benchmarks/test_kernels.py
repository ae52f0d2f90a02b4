"""What of the kernels' benchmark can run without a GPU."""

from collections.abc import Callable, Sequence

import pytest
import torch

from benchmarks import experts_kernels, kernels
from benchmarks.device import Speeds


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["kernels", "--only", "experts"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert kernels.main() == 1
    assert "needs a CUDA GPU" in capsys.readouterr().err


def test_the_floor_is_the_slower_of_memory_and_arithmetic() -> None:
    speeds = Speeds(bytes=100.0, operations=1000.0)
    assert speeds.floor(200, 1000) == 2.0
    assert speeds.floor(100, 5000) == 5.0


def test_the_experts_are_set_up_checked_and_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_once(calls: Sequence[Callable[[], object]]) -> float:
        calls[0]()
        return 2.0

    monkeypatch.setattr(experts_kernels, "graph_seconds", run_once)
    monkeypatch.setattr(experts_kernels, "SIZE", 64)
    monkeypatch.setattr(experts_kernels, "BATCHES", (1,))
    monkeypatch.setattr(experts_kernels, "CHECKED_BATCHES", (2,))
    device = torch.device("cpu")
    (checked,) = experts_kernels.check_experts(device)
    assert checked["error"] < 0.02
    records = list(
        experts_kernels.measure_experts(device, Speeds(bytes=4 * experts_kernels.EXPERT_BYTES, operations=1e30))
    )
    assert [record["kernel"] for record in records] == ["experts", "gate_up", "down"] * 2
    assert records[0]["share"] == pytest.approx(0.5)
    assert records[1]["floor_microseconds"] == pytest.approx(2 / 3 * 1e6)
