"""The script that holds every kernel against its reference on a GPU, at tiny sizes in Triton's interpreter."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import kernels, peer_experts
from benchmarks.kernels import SECTIONS, measure, run
from benchmarks.shapes import PUBLISHED, TINY
from engine.kernels.triton import paged_attention

ERRORS = "error", "experts_error", "resident_experts_error", "cache_error", "normed_error", "kl_most"


@pytest.fixture(scope="module")
def result() -> dict[str, list[dict[str, Any]]]:
    """Every section, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paged_attention, "DECODE_PROGRAMS", 4)
        return {name: list(measure(name, TINY, torch.device("cpu"), 600)) for name in SECTIONS}


def test_every_section_says_something_with_its_machine_and_versions(result: dict[str, Any]) -> None:
    assert all(result[name] for name in SECTIONS)
    assert not any("failed" in record for records in result.values() for record in records)
    (machine,) = result["machine"]
    assert {"gpu", "torch", "triton", "commit", "tokenspeed-triton-kernels", "bytes_per_second"} <= set(machine)
    for name in ("experts", "attention", "router", "linear", "model"):
        for record in result[name]:
            assert "left_out" in record or {"microseconds", "floor_microseconds", "share"} <= set(record)


def test_the_kernels_are_their_references(result: dict[str, Any]) -> None:
    checked = [name for name in SECTIONS if name.endswith("_error")]
    values = [
        record[error]
        for name in checked
        for record in result[name]
        for error in ERRORS
        if error in record and not (name == "model_error" and "fp8 cache" in record["model"])
    ]
    assert len(values) > 20
    assert max(values) < 1e-5
    assert [record["same_choice"] for record in result["router_error"]] == [1.0]
    (rounded,) = (record for record in result["model_error"] if record["model"] == "kernels, fp8 cache")
    assert rounded["kl_most"] < 1e-3


def test_a_peer_that_is_not_there_is_named(result: dict[str, Any]) -> None:
    for record in result["experts"]:
        assert (record["kernel"] == "peer_experts") == (record.get("left_out") == peer_experts.MISSING)


def test_a_section_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "linear_error", "attention_kernels:no_such_section")
    (failed,) = measure("linear_error", TINY, torch.device("cpu"), 60)
    assert "no_such_section" in str(failed["failed"])


def test_sections_are_run_one_after_the_other_and_written(tmp_path: Path) -> None:
    """Each in its own process; one that there is no time for is named."""
    output = tmp_path / "results" / "kernels.json"
    got, failed = run(["machine", "sampling"], 60, smoke=True, output=output)
    assert failed == 0
    assert json.loads(output.read_text()) == got
    assert got["smoke"] is True
    assert [len(records) for records in got["parts"].values()] == [1, 3]
    late, _ = run(["sampling"], 0, smoke=True, output=output)
    assert late["parts"] == {"sampling": [{"left_out": "0 minutes are over"}]}
    assert json.loads(output.read_text()) == late


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["kernels"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert kernels.main() == 1
    assert "--smoke" in capsys.readouterr().err


def test_the_published_sizes_are_what_the_targets_speak_of() -> None:
    assert PUBLISHED.expert_tokens == (1, 8, 32, 128, 256, 8192)
    assert PUBLISHED.decode_batches == (1, 8, 32, 128, 256)
    assert (PUBLISHED.contexts[0], PUBLISHED.contexts[-1]) == (1024, 131_072)
