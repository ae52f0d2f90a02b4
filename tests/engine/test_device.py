"""Which device is picked, and what is said where there is none."""

from typing import Any

import psutil
import pytest
import torch

from engine import cgroup
from engine.device import bytes_per_second, free_bytes, keep_to_quota, make_current, pick_device
from engine.errors import ConfigError
from engine.request import Request, SamplingParams
from engine.runner import runner
from tests.engine.test_equality import checkpoint
from tests.engines import build_engine, run


def test_the_cpu_is_always_there() -> None:
    assert pick_device("cpu").type == "cpu"
    assert bytes_per_second(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("name", "problem"), [("gpu", "--device gpu: "), ("cuda:9", "--device cuda:9: "), ("mps", "only cpu and cuda")]
)
def test_devices_that_are_not_there(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        pick_device(name)


def test_a_gpu_with_a_number_is_made_the_threads_own(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    for name in "cpu", "cuda", "cuda:1":
        make_current(torch.device(name))
    assert current == [torch.device("cuda", 1)]


def test_every_launch_is_on_the_runners_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that steps an engine need not be the one that started it."""
    engine, order = build_engine(checkpoint()), list[Any]()
    forward = engine.runner.model.forward
    monkeypatch.setattr(runner, "make_current", order.append)
    monkeypatch.setattr(engine.runner.model, "forward", lambda *step: order.append("forward") or forward(*step))
    run(engine, [Request(id="a", prompt_token_ids=(5, 6), sampling=SamplingParams(temperature=0, max_tokens=2))])
    assert order == [torch.device("cpu"), "forward"] * 2


def test_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ConfigError, match="was built without CUDA: install a build with it"):
        pick_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(ConfigError, match="sees 0 GPUs: check nvidia-smi and CUDA_VISIBLE_DEVICES"):
        pick_device("cuda:0")


def test_a_container_may_have_less_memory_than_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(cgroup, "free_bytes", lambda: 12345)
    assert free_bytes(cpu) == 12345
    for allowed in (2**62, None):
        monkeypatch.setattr(cgroup, "free_bytes", lambda allowed=allowed: allowed)
        assert 12345 < free_bytes(cpu) <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("there", "cores", "told", "threads"),
    [(64, 2, None, 2), (64, None, None, 64), (4, 16, None, 4), (8, 2, "8", 8)],
)
def test_threads_are_no_more_than_the_quota_keeps_busy(
    there: int, cores: int | None, told: str | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [there]
    monkeypatch.setattr(torch, "get_num_threads", lambda: chosen[-1])
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(cgroup, "cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    keep_to_quota()
    assert chosen[-1] == threads


def test_bandwidth_is_clock_times_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """An H100: 2,619 MHz, twice a cycle, 5,120 bits."""

    class Properties:
        memory_clock_rate = 2_619_000
        memory_bus_width = 5120

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert bytes_per_second(torch.device("cuda:0")) == pytest.approx(3.352e12, rel=1e-3)
