"""A steady step of captured decoding waits for the device once: at its end, when everything is launched. Run ahead, it
waits for the step before it, when its own is launched.

Every call of torch is recorded. Reading a number waits, and so do `torch.tensor` with a device and an index that is a
list, which both copy from memory that is not pinned.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from engine.engine import Engine
from engine.request import Request
from engine.runner import graphs
from tests.engine.runner.test_graphs import CAPTURABLE, Recorder
from tests.engine.test_equality import STYLES, checkpoint
from tests.engines import build_engine

READS = {
    "item",
    "tolist",
    "cpu",
    "numpy",
    "nonzero",
    "unique",
    "equal",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
}


class Recording(TorchFunctionMode):
    """The names of torch's functions as they are called, but for those of graphs, which the device runs alone."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", str(function))
        if name == "tensor" and kwargs.get("device") is not None:
            name = "tensor with a device"
        if name in ("__getitem__", "__setitem__") and has_list(args[1]):
            name = "index by a list"
        self.calls.append(name)
        return function(*args, **kwargs)


def has_list(index: Any) -> bool:
    return any(isinstance(part, list) for part in (index if isinstance(index, tuple) else (index,)))


@pytest.fixture(params=[False, True], ids=["in step", "ahead"])
def decoding(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Engine:
    """An engine whose eight requests, one in each style, have begun to answer."""
    monkeypatch.setattr("engine.start.select_ops", lambda *args, **kwargs: CAPTURABLE)
    monkeypatch.setattr("engine.start.CudaCapture", lambda device: unrecorded(Recorder(warms=False)))
    engine = build_engine(checkpoint(), max_num_seqs=8, run_ahead=request.param)
    for number, style in enumerate(STYLES):
        engine.add(Request(id=f"{number}", prompt_token_ids=(5 + number,) * 4, sampling=style))
    for _ in range(3):
        engine.step()
    assert len(engine.scheduler.running) > 4
    return engine


def unrecorded(capture: graphs.Capture) -> graphs.Capture:
    def captured(step: Callable[[], None]) -> Callable[[], None]:
        def quiet() -> None:
            with torch._C.DisableTorchFunction():
                step()

        return capture(quiet)

    return captured


def record(engine: Engine) -> list[str]:
    with Recording() as recording:
        assert engine.step()
    return recording.calls


def test_nothing_is_launched_after_the_first_wait(decoding: Engine) -> None:
    calls = record(decoding)
    first = next(i for i, name in enumerate(calls) if name in READS)
    assert first > 20
    assert set(calls[first:]) == {"tolist"}
    assert not {"tensor with a device", "index by a list"} & set(calls)


def test_greedy_decoding_reads_its_tokens_and_nothing_else(decoding: Engine) -> None:
    for number, style in enumerate(STYLES):
        if style.temperature or style.logprobs is not None:
            decoding.abort(f"{number}")
    decoding.step()
    assert [name for name in record(decoding) if name in READS] == ["tolist"]


def test_the_recording_hears_what_waits() -> None:
    numbers = torch.arange(3)
    with Recording() as recording:
        torch.tensor([1], device="cpu")
        numbers[[0, 1]]
        numbers.max().item()
        bool(numbers[0] > 1)
    assert recording.calls.count("tensor with a device") == recording.calls.count("index by a list") == 1
    assert {"item", "__bool__"} <= set(recording.calls)
