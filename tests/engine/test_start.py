"""What is done before an engine is ready on a GPU, and in which order; all that would touch one is recorded instead."""

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import MagicMock, Mock, call

import pytest
import torch

from engine import start
from engine.kernels.table import triton_ops
from tests.engine.test_equality import checkpoint
from tests.engines import TEST_CONFIG

TOUCHING = "empty_weights", "load_weights", "GptOss", "RollingCache", "PagedCache", "capture", "warm_up"


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch) -> Callable[[torch.device], Mock]:
    """Starts an engine, and returns the calls that were made."""

    def begin(device: torch.device) -> Mock:
        calls = MagicMock()
        for name in TOUCHING:
            monkeypatch.setattr(start, name, getattr(calls, name))
        monkeypatch.setattr(torch.cuda, "set_device", calls.set_device)
        monkeypatch.setattr(start, "pick_device", lambda name: device)
        monkeypatch.setattr(start, "free_bytes", lambda device: 2**34)
        monkeypatch.setattr(start, "total_bytes", lambda device: 2**34)
        monkeypatch.setattr(start, "select_ops", lambda *args, **kwargs: triton_ops((9, 0)))
        monkeypatch.setattr(start, "Runner", lambda *args: calls.runner)
        start.start_engine(replace(TEST_CONFIG, model=checkpoint()), on_plan=calls.on_plan)
        return calls

    return begin


def test_the_gpu_that_was_asked_for_is_the_current_one_before_all_else(
    starting: Callable[[torch.device], Mock],
) -> None:
    device = torch.device("cuda", 1)
    assert starting(device).mock_calls[0] == call.set_device(device)
    for other in "cuda", "cpu":
        starting(torch.device(other)).set_device.assert_not_called()


def test_the_plan_is_told_before_it_takes_memory(starting: Callable[[torch.device], Mock]) -> None:
    calls = starting(torch.device("cpu"))
    assert [name for name, *_ in calls.mock_calls][:3] == ["on_plan", "empty_weights", "load_weights"]
    assert calls.on_plan.call_args.args[0].startswith("device    cpu\nweights   ")


def test_kernels_are_compiled_for_prompts_too_before_it_is_ready(starting: Callable[[torch.device], Mock]) -> None:
    calls = starting(torch.device("cuda"))
    assert [name for name, *_ in calls.mock_calls][-2:] == ["capture", "warm_up"]
    assert calls.warm_up.call_args.args[:3] == (calls.runner, 4, 256)
    starting(torch.device("cpu")).warm_up.assert_not_called()
