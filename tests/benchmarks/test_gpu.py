"""The script that measures the engine on a GPU beside its floors and its peers, at tiny sizes on the CPU."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from benchmarks import gpu, gpu_engine
from benchmarks.device import Speeds
from benchmarks.gpu import PARTS, run
from benchmarks.gpu_checkpoint import write_random_checkpoint
from benchmarks.gpu_peers import BUILD, TOOL, llama_cpp
from benchmarks.gpu_plot import plot
from benchmarks.gpu_workloads import GPT_OSS_20B, SMOKE, WORKLOADS
from benchmarks.isolated import GRACE_SECONDS, Record, Result
from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.verify import verify_checkpoint

FIGURES = {"seconds", "tokens_per_second", "floor_tokens_per_second", "share"}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Every part, in one call."""
    output = tmp_path_factory.mktemp("results") / "tiny" / "gpu.json"
    with pytest.MonkeyPatch.context() as patch:
        for part in PARTS:
            patch.setitem(PARTS, part, 600)
        got, failed = run(list(PARTS), 60, smoke=True, llama_cpp=None, output=output)
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
    assert {"gpu", "torch", "triton", "transformers", "commit", "bytes_per_second"} <= set(machine)
    assert result["smoke"] is True


@pytest.mark.parametrize("model", ["20b", "120b"])
def test_the_engine_is_measured_beside_its_floors(result: Result, model: str) -> None:
    decode = records(result, model, "decode")
    assert [record["requests"] for record in decode] == [*SMOKE.batches] * len(SMOKE.contexts)
    for record in (*decode, *records(result, model, "prefill"), *records(result, model, "saturated")):
        assert set(record) >= FIGURES
        assert record["seconds"] > 0
    assert all(0 < record["host_share"] <= 1 for record in decode)
    assert [record["tokens"] for record in records(result, model, "first_tokens")] == [*SMOKE.arriving]
    assert len(records(result, model, "waiting")) == 1


def test_the_peers_are_measured_or_named(result: Result) -> None:
    assert [record["requests"] for record in records(result, "transformers", "decode")] == [*SMOKE.peer_batches]
    assert len(records(result, "transformers", "prefill")) == 1
    (missing,) = result["parts"]["llama.cpp"]
    assert "--llama-cpp" in missing["left_out"]
    assert result["parts"]["determinism"][0]["bits"] == "the same"


def test_it_is_drawn(result: Result, tmp_path: Path) -> None:
    picture = tmp_path / "gpu.svg"
    assert plot(result["parts"], picture) == f"plot: {picture}"
    assert "20b, floor" in picture.read_text()


def test_llama_cpps_figures_are_read(tmp_path: Path) -> None:
    tool = tmp_path / BUILD / "bin" / TOOL
    tool.parent.mkdir(parents=True)
    line = {"pp": 8, "tg": 16, "pl": 2, "speed_pp": 100.0, "speed_tg": 50.0}
    tool.write_text(f"#!/bin/sh\necho loading\necho '{json.dumps(line)}'\nexit 3\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    (missing,) = llama_cpp(SMOKE, tmp_path, 60)
    assert "shape.gguf is not there" in str(missing["left_out"])
    (tmp_path / BUILD / "shape.gguf").touch()
    decode, prefill, failure = llama_cpp(SMOKE, tmp_path, 60)
    assert decode == {"what": "decode", "requests": 2, "context": 8, "tokens_per_second": 50.0}
    assert prefill == {"what": "prefill", "tokens": 8, "tokens_per_second": 100.0}
    assert "failed" in failure


def test_the_checkpoint_for_peers_is_a_whole_one(tmp_path: Path) -> None:
    write_random_checkpoint(tmp_path, SMOKE.model)
    assert read_model_config(tmp_path) == SMOKE.model
    assert verify_checkpoint(tmp_path, SMOKE.model).experts == "mxfp4"
    assert (tmp_path / "tokenizer.json").exists()


def test_what_there_is_no_time_for_is_named() -> None:
    assert run(["20b"], 0, smoke=True, llama_cpp=None, output=None)[0]["parts"] == {
        "20b": [{"left_out": "0 minutes are over"}]
    }


def test_an_engine_that_does_not_start_is_tried_without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def records(module: str, arguments: list[str], seconds: float) -> list[dict[str, object]]:
        asked.append("--enforce-eager" in arguments)
        return [{"what": "start", "seconds": 1.0} if asked[-1] else {"what": "start", "failed": "no capture"}]

    monkeypatch.setattr(gpu, "records_of", records)
    assert len(list(gpu.records_of_part("20b", 60, smoke=True, llama_cpp=None))) == 2
    assert asked == [False, True]


def test_a_kind_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def prefill(bench: gpu_engine.Bench) -> Iterator[Record]:
        bench.seat(1, 20)
        raise RuntimeError("out of something")
        yield {}

    monkeypatch.setattr(gpu_engine.Bench, "prefill", prefill)
    device = torch.device("cpu")
    records = list(gpu_engine.measure(SMOKE, device, Speeds(1.0, 1.0), 600, enforce_eager=False))
    assert {"what": "prefill", "failed": "RuntimeError: out of something"} in records
    assert [record["what"] for record in records if "failed" in record] == ["prefill"]
    assert {"start", "decode", "saturated", "first_tokens", "waiting"} <= {record["what"] for record in records}


def test_a_first_token_is_measured_when_its_kernels_are_compiled() -> None:
    bench = Mock(workload=SMOKE)
    bench.steps.return_value = 1.0, 0.5
    bench.first_token.side_effect = [(30.0, 30.0), (2.0, 1.0)]
    (record,) = gpu_engine.Bench.first_tokens(bench)
    assert (record["seconds"], record["their_slowest_step"]) == (2.0, 1.0)


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
