"""Which device is picked, and what is said where there is none."""

import pytest
import torch

from engine.device import bytes_per_second, pick_device
from engine.errors import ConfigError


def test_the_cpu_is_always_there() -> None:
    assert pick_device("cpu").type == "cpu"
    assert bytes_per_second(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("name", "problem"), [("gpu", "--device gpu: "), ("cuda:9", "--device cuda:9: "), ("mps", "only cpu and cuda")]
)
def test_devices_that_are_not_there(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        pick_device(name)


def test_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ConfigError, match="was built without CUDA: install a build with it"):
        pick_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(ConfigError, match="sees 0 GPUs: check nvidia-smi and CUDA_VISIBLE_DEVICES"):
        pick_device("cuda:0")


def test_bandwidth_is_clock_times_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """An H100: 2,619 MHz, twice a cycle, 5,120 bits."""

    class Properties:
        memory_clock_rate = 2_619_000
        memory_bus_width = 5120

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert bytes_per_second(torch.device("cuda:0")) == pytest.approx(3.352e12, rel=1e-3)
