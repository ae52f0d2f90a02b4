"""The script that measures the engine on a GPU beside its floors and its peers, at tiny sizes on the CPU."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_engine, gpu_llama_cpp, isolated
from benchmarks.device import Speeds
from benchmarks.gpu import PARTS, run
from benchmarks.gpu_checkpoint import write_random_checkpoint
from benchmarks.gpu_plot import plot
from benchmarks.gpu_steps import Driver, StepFailedError
from benchmarks.gpu_workloads import GPT_OSS_20B, SMOKE, WORKLOADS
from benchmarks.isolated import GRACE_SECONDS, Record, Result
from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.verify import verify_checkpoint
from engine.config import EngineConfig

FIGURES = {"seconds", "tokens_per_second", "floor_tokens_per_second", "share"}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Every part, in one call."""
    output = tmp_path_factory.mktemp("results") / "tiny" / "gpu.json"
    with pytest.MonkeyPatch.context() as patch:
        for part in PARTS:
            patch.setitem(PARTS, part, 600)
        got, failed = run(list(PARTS), 600, smoke=True, llama_cpp=None, output=output, commit="abc")
    assert failed == 0
    found: Result = json.loads(output.read_text())
    assert found == got
    return found


def records(result: Result, part: str, what: str) -> list[dict[str, Any]]:
    return [record for record in result["parts"][part] if record.get("what") == what]


def test_every_part_says_something_with_its_machine(result: Result) -> None:
    assert list(result["parts"]) == list(PARTS)
    assert all(result["parts"].values())
    (machine,) = result["parts"]["machine"]
    assert {"gpu", "driver", "torch", "triton", "transformers", "bytes_per_second"} <= set(machine)
    assert (result["smoke"], result["commit"]) == (True, "abc")


def test_every_model_is_compiled_first(result: Result) -> None:
    assert [*PARTS][:2] == ["machine", "compile"]
    assert sorted(str(record["model"]) for record in result["parts"]["compile"]) == sorted(WORKLOADS)
    assert all("seconds" in record for record in result["parts"]["compile"])


@pytest.mark.parametrize("model", ["20b", "120b"])
def test_the_engine_is_measured_beside_its_floors(result: Result, model: str) -> None:
    decode = records(result, model, "decode")
    assert [record["requests"] for record in decode] == [*SMOKE.batches] * len(SMOKE.contexts)
    for record in (*decode, *records(result, model, "prefill"), *records(result, model, "saturated")):
        assert set(record) >= FIGURES
        assert record["seconds"] > 0
    assert all(0 < record["host_share"] <= 1 and record["mean_seconds"] > 0 for record in decode)
    first = records(result, model, "first_tokens")
    assert [(record["tokens"], record["samples"]) for record in first] == [(20, gpu_engine.SAMPLES)]
    assert len(records(result, model, "waiting")) == 1


def test_the_peers_are_measured_or_named(result: Result) -> None:
    assert [record["requests"] for record in records(result, "transformers", "decode")] == [*SMOKE.peer_batches]
    assert [record["tokens"] for record in records(result, "transformers", "prefill")] == [*SMOKE.peer_prefills]
    (start,) = records(result, "transformers", "start")
    assert {"attn", "experts"} <= set(start)
    (missing,) = result["parts"]["llama.cpp"]
    assert "--llama-cpp" in missing["left_out"]
    assert result["parts"]["determinism"][0]["bits"] == "the same"


def test_it_is_drawn(result: Result, tmp_path: Path) -> None:
    picture = tmp_path / "gpu.svg"
    assert plot(result["parts"], picture) == f"plot: {picture}"
    assert "20b, floor" in picture.read_text()


def test_the_checkpoint_for_peers_is_a_whole_one(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, SMOKE.model)
    assert read_model_config(tmp_path) == SMOKE.model
    assert verify_checkpoint(tmp_path, SMOKE.model).experts == "mxfp4"
    assert (tmp_path / "tokenizer.json").exists()


def test_what_there_is_no_time_for_is_named() -> None:
    assert run(["20b"], 0, smoke=True, llama_cpp=None, output=None, commit="abc")[0]["parts"] == {
        "20b": [{"left_out": "0 minutes are over"}]
    }


OUT_OF_MEMORY, NO_CAPTURE = "OutOfMemoryError: CUDA out of memory.", "RuntimeError: no capture"
LESS, EAGER = ["--memory", str(gpu_engine.LESS_MEMORY)], ["--enforce-eager"]


@pytest.mark.parametrize(
    ("failures", "starts"),
    [
        ([NO_CAPTURE], [[], EAGER]),
        ([OUT_OF_MEMORY], [[], LESS]),
        ([OUT_OF_MEMORY, NO_CAPTURE], [[], LESS, LESS + EAGER]),
        ([NO_CAPTURE, OUT_OF_MEMORY], [[], EAGER, EAGER + LESS]),
        ([OUT_OF_MEMORY] * 3, [[], LESS]),
        ([NO_CAPTURE, OUT_OF_MEMORY, NO_CAPTURE, NO_CAPTURE], [[], EAGER, EAGER + LESS]),
    ],
)
def test_an_engine_that_does_not_start_is_tried_with_each_remedy_once(
    monkeypatch: pytest.MonkeyPatch, failures: list[str], starts: list[list[str]]
) -> None:
    """Without memory graphs are no remedy: the plan of an engine that has none gives their share to the caches."""
    asked = []

    def records(module: str, arguments: list[str], seconds: float) -> list[Record]:
        failing = failures[len(asked) :]
        asked.append(arguments[2:])
        return [{"what": "start", "failed": failing[0]} if failing else {"what": "start", "seconds": 1.0}]

    monkeypatch.setattr(gpu, "records_of", records)
    assert len(list(gpu.records_of_part("20b", 60, smoke=False, llama_cpp=None))) == len(starts)
    assert asked == starts


def test_a_start_says_with_which_remedies_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[bool, float]] = []

    def start_engine(config: EngineConfig) -> None:
        given.append((config.enforce_eager, config.gpu_memory_utilization))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(gpu_engine, "start_engine", start_engine)
    monkeypatch.setattr("sys.argv", ["gpu", "--part", "20b", "--smoke", *EAGER, *LESS])
    assert gpu.main() == 0
    assert given == [(True, gpu_engine.LESS_MEMORY)]
    assert json.loads(capsys.readouterr().out) == {
        "what": "start",
        "graphs": "none",
        "memory": gpu_engine.LESS_MEMORY,
        "failed": OUT_OF_MEMORY,
    }


def test_memory_that_torch_keeps_is_told_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 200)
    assert gpu_engine.unallocated(torch.device("cuda")) == {"unallocated_bytes": 100}
    assert gpu_engine.unallocated(torch.device("cpu")) == {}


def test_what_a_lost_device_leaves_is_measured_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, lost = [], {"what": "device", "failed": "illegal access"}
    answers = iter([[lost | {"missing": ["saturated", "waiting"]}], [lost | {"missing": []}]])

    def records(module: str, arguments: list[str], seconds: float) -> list[Record]:
        asked.append(arguments)
        return next(answers)

    monkeypatch.setattr(gpu, "records_of", records)
    assert len(list(gpu.records_of_part("20b", 60, smoke=False, llama_cpp=None))) == 2
    assert asked == [["--part", "20b"], ["--part", "20b", "--figure", "saturated", "--figure", "waiting"]]


def test_a_lost_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def prefill(bench: gpu_engine.Bench) -> Iterator[Record]:
        monkeypatch.setattr(bench.driver, "clear", lost)
        raise RuntimeError("an illegal memory access was encountered")
        yield {}

    def lost() -> None:
        raise RuntimeError("unspecified launch failure")

    monkeypatch.setattr(gpu_engine.Bench, "prefill", prefill)
    kinds = "prefill", "saturated", "waiting"
    _, failed, last = gpu_engine.measure(SMOKE, torch.device("cpu"), Speeds(1.0, 1.0), 600, kinds=kinds)
    assert failed == {"what": "prefill", "failed": "RuntimeError: an illegal memory access was encountered"}
    assert last["what"] == "device"
    assert last["missing"] == ["saturated", "waiting"]


def test_a_figure_that_fails_leaves_the_others_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Driver.steps

    def failing(driver: Driver, batch: int, number: int) -> Any:
        if batch == 1:
            raise StepFailedError("RuntimeError: out of resources")
        return steps(driver, batch, number)

    monkeypatch.setattr(Driver, "steps", failing)
    device = torch.device("cpu")
    speeds = Speeds(1.0, 1.0)
    _, *decode = gpu_engine.measure(SMOKE, device, speeds, 600, kinds=["decode"])
    assert [record["requests"] for record in decode] == [1, 3] * 3
    assert [record.get("failed") for record in decode] == ["RuntimeError: out of resources", None] * 3


def test_llama_cpp_is_waited_for_as_long_as_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waited, given, stopped = [], [], []
    times = iter([300.0, 320.0])
    monkeypatch.setattr(gpu, "monotonic", lambda: next(times))
    monkeypatch.setattr(isolated, "monotonic", lambda: 100.0)
    monkeypatch.setattr(gpu_llama_cpp, "prepare", lambda source: ["building"])
    monkeypatch.setattr(gpu_llama_cpp, "wait", lambda processes, seconds: waited.append(seconds))
    monkeypatch.setattr(gpu_llama_cpp, "stop", stopped.append)
    monkeypatch.setattr(gpu, "records_of_part", lambda part, seconds, **asked: given.append(seconds) or [])
    run(["llama.cpp"], 9.5, smoke=False, llama_cpp=Path("/there"), output=None, commit="abc")
    left = 9.5 * 60 - GRACE_SECONDS
    assert waited == [left - gpu_llama_cpp.MEASURING_SECONDS]
    assert given == [left - 20]
    assert stopped == [["building"]] * 2


def test_llama_cpp_comes_last() -> None:
    assert [*PARTS][-1] == "llama.cpp"


def test_a_kind_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def prefill(bench: gpu_engine.Bench) -> Iterator[Record]:
        bench.driver.seat(1, 20)
        raise RuntimeError("out of something")
        yield {}

    monkeypatch.setattr(gpu_engine.Bench, "prefill", prefill)
    device = torch.device("cpu")
    records = list(gpu_engine.measure(SMOKE, device, Speeds(1.0, 1.0), 600))
    assert {"what": "prefill", "failed": "RuntimeError: out of something"} in records
    assert [record["what"] for record in records if "failed" in record] == ["prefill"]
    assert {"start", "decode", "saturated", "first_tokens", "waiting"} <= {record["what"] for record in records}


def test_a_first_token_is_measured_when_its_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of the prompts after the first one."""
    samples = iter([(30.0, 30.0), (2.0, 1.0), (9.0, 8.0), (3.0, 1.5), (1.0, 0.5), (8.0, 7.0)])
    monkeypatch.setattr(Driver, "first_token", lambda driver, tokens: next(samples))
    device, kinds = torch.device("cpu"), ["first_tokens"]
    _, record = gpu_engine.measure(SMOKE, device, Speeds(1.0, 1.0), 600, kinds=kinds)
    assert (record["seconds"], record["their_slowest_step"], record["samples"]) == (3.0, 1.5, 5)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["gpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 1
    assert "--smoke" in capsys.readouterr().err


def test_it_asks_what_the_targets_speak_of_in_under_ten_minutes() -> None:
    assert GPT_OSS_20B.batches == (1, 8, 32, 128, 256)
    assert GPT_OSS_20B.contexts == (1024, 8192, 32_768, 131_072)
    assert GPT_OSS_20B.saturated == ((1024, 1024), (8192, 1024))
    assert WORKLOADS["120b"].model.num_experts == 128
    assert sum(PARTS.values()) + GRACE_SECONDS <= 60 * gpu.MINUTES < 600
