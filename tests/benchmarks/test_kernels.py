"""The script that holds every kernel against its reference on a GPU, at tiny sizes in Triton's interpreter."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from benchmarks import attention_kernels, device, experts_kernels, kernels, model_kernels, peer_experts
from benchmarks.attention_kernels import make_batch
from benchmarks.device import COLD_BYTES, Speeds, attempt, cold_copies, differing
from benchmarks.isolated import GRACE_SECONDS, Record
from benchmarks.kernels import ERRORS as CHECKS
from benchmarks.kernels import PARTS, SECTIONS, measure, run
from benchmarks.shapes import PUBLISHED, TINY
from engine.config import ModelConfig
from engine.kernels.experts import mix_experts
from engine.kernels.triton import paged_attention

ERRORS = "error", "cache_error", "normed_error", "kl_most"


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
    assert {"gpu", "torch", "triton", "driver", "tokenspeed-triton-kernels", "bytes_per_second"} <= set(machine)
    for name in ("experts", "attention", "router", "linear", "model"):
        for record in result[name]:
            assert "left_out" in record or {"microseconds", "floor_microseconds", "share"} <= set(record)


def test_the_kernels_are_their_references(result: dict[str, Any]) -> None:
    values = [
        record[error]
        for name in CHECKS
        for record in result[name]
        for error in ERRORS
        if error in record and not (name == "model_error" and "fp8 cache" in record["model"])
    ]
    assert len(values) > 20
    assert max(values) < 1e-5
    assert [record["same_choice"] for record in result["router_error"]] == [1.0]
    differ = [record["differ"] for section in CHECKS for record in result[section] if "differ" in record]
    assert len(differ) > 20
    assert set(differ) == {0}
    (rounded,) = (record for record in result["model_error"] if record["model"] == "kernels, fp8 cache")
    assert rounded["kl_most"] < 1e-3


def test_repetitions_that_differ_are_counted() -> None:
    first = torch.ones(3)
    calls = iter([first, first.clone(), torch.tensor([1.0, 1.0, 1.0 + 2**-23])])
    assert differing(lambda: next(calls), first, 3) == 1


def test_a_peer_that_is_not_there_is_named(result: dict[str, Any]) -> None:
    assert result["peer_experts"] == [{"left_out": peer_experts.MISSING}]


def test_a_peer_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_experts, "find_spec", lambda name: "there")
    (record,) = measure("peer_experts", TINY, torch.device("cpu"), 600)
    assert "triton_kernels" in str(record["left_out"])


def test_a_peer_is_measured_as_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference in its place gives no error, and times of every batch."""

    def prepare(model: ModelConfig, products: experts_kernels.Products) -> peer_experts.Peer:
        limits = model.swiglu_alpha, model.swiglu_limit
        return lambda x, experts, weights: partial(
            mix_experts, x, experts, weights, *products, *limits, torch.zeros_like(x)
        )

    monkeypatch.setattr(peer_experts, "find_spec", lambda name: "there")
    monkeypatch.setattr(peer_experts, "prepare", prepare)
    *errors, timed = measure("peer_experts", TINY, torch.device("cpu"), 600)
    assert [record["tokens"] for record in errors] == [*TINY.checked_tokens]
    assert all(float(str(record["error"])) < 1e-6 for record in errors)
    assert {"kernel": "peer_experts", "tokens": 1, "experts": 4}.items() <= timed.items()


def test_a_prompt_is_timed_too(result: dict[str, Any]) -> None:
    assert TINY.model_prefill in {record["tokens"] for record in result["router"]}
    prompts = {record["map"] for record in result["linear"] if record["tokens"] == TINY.model_prefill}
    assert prompts == {"norm_qkv", "out_residual"}
    assert [record["tokens"] for record in result["experts"] if record["kernel"] == "grouped_mm"] == [1]


def test_a_peer_whose_capture_may_fail_is_timed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "seconds_a_call", lambda calls, device: 1.0)
    shapes = replace(TINY, expert_counts=(4, 8))
    records = list(experts_kernels.measure_experts(shapes, torch.device("cpu"), Speeds(1.0, 1.0)))
    kernel_names = [record["kernel"] for record in records]
    assert kernel_names.index("grouped_mm") == len(records) - 2
    assert [record["experts"] for record in records[-2:]] == [4, 8]


def test_one_token_goes_to_other_experts_in_every_call() -> None:
    routes = experts_kernels.routes_of_calls(PUBLISHED, 1, 32, torch.device("cpu"))
    chosen = torch.cat([experts for experts, _ in routes]).flatten().tolist()
    assert len(routes) == experts_kernels.ROUTES
    assert sorted(chosen) == list(range(32))
    assert experts_kernels.touched_experts(routes) == 4.0
    assert len(experts_kernels.routes_of_calls(PUBLISHED, 8, 32, torch.device("cpu"))) == experts_kernels.ROUTES


def test_a_section_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "linear_error", "attention_kernels:no_such_section")
    (failed,) = measure("linear_error", TINY, torch.device("cpu"), 60)
    assert "no_such_section" in str(failed["failed"])


@pytest.mark.parametrize(
    ("section", "module", "name"),
    [
        ("experts_error", experts_kernels, "mixed_by_reference"),
        ("router_error", experts_kernels, "route_reference"),
        ("attention_error", attention_kernels, "random_cache"),
        ("linear_error", attention_kernels, "compare"),
        ("model_error", model_kernels, "build"),
        ("model", model_kernels, "make_caches"),
        ("experts", device, "seconds_a_call"),
        ("attention", device, "seconds_a_call"),
        ("router", device, "seconds_a_call"),
        ("linear", device, "seconds_a_call"),
        ("sampling", device, "seconds_a_call"),
    ],
)
def test_what_fails_hides_nothing_behind_it(
    result: dict[str, Any], section: str, module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here everything of a section does: each record has what was asked, and why it was not measured."""
    monkeypatch.setattr(module, name, Mock(side_effect=MemoryError("out of it")))
    records = list(kernels.section(section)(TINY, torch.device("cpu"), Speeds(1.0, 1.0)))
    for record, measured in zip(records, result[section], strict=True):
        assert record.pop("failed") == "MemoryError: out of it"
        assert record.items() <= measured.items()


def test_a_device_that_can_compute_nothing_more_ends_its_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", Mock(side_effect=[None, RuntimeError("illegal memory access")]))
    assert list(attempt({"tokens": 1}, lambda: {"error": 0.5})) == [{"tokens": 1, "error": 0.5}]
    assert list(attempt({"tokens": 2}, Mock(side_effect=RuntimeError("lost")))) == [
        {"tokens": 2, "failed": "RuntimeError: lost"}
    ]
    last = attempt({"tokens": 3}, Mock(side_effect=RuntimeError("lost")))
    assert next(last) == {"tokens": 3, "failed": "RuntimeError: lost"}
    with pytest.raises(RuntimeError, match="illegal memory access"):
        next(last)


def test_sections_are_run_one_after_the_other_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its own process; one that there is no time for is named."""
    for name in "machine", "sampling":
        monkeypatch.setitem(PARTS, name, 600)
    output = tmp_path / "results" / "kernels.json"
    got, failed = run(["machine", "sampling"], 60, smoke=True, output=output, commit="abc")
    assert failed == 0
    assert json.loads(output.read_text()) == got
    assert got["smoke"] is True
    assert [len(records) for records in got["parts"].values()] == [1, 3]
    late, _ = run(["sampling"], 0, smoke=True, output=output, commit="abc")
    assert late["parts"] == {"sampling": [{"left_out": "0 minutes are over"}]}
    assert json.loads(output.read_text()) == late


def test_a_section_that_hangs_leaves_the_others_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(kernels, "records_of", lambda module, arguments, seconds: given.append(seconds) or [])
    run(list(PARTS), kernels.MINUTES, smoke=False, output=None, commit="abc")
    limits = [seconds for part, seconds in PARTS.items() for _ in range(len(CHECKS) if part == "errors" else 1)]
    assert given[:-1] == limits[:-1]
    assert given[-1] > limits[-1]
    assert sum(PARTS.values()) + GRACE_SECONDS <= 60 * kernels.MINUTES < 600


def test_in_fewer_minutes_every_part_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(kernels, "records_of", lambda module, arguments, seconds: given.append(seconds) or [])
    run(["machine", "model", "sampling"], 1, smoke=False, output=None, commit="abc")
    share = (60 - GRACE_SECONDS) / sum(PARTS[part] for part in ("machine", "model", "sampling"))
    assert given[:-1] == pytest.approx([share * PARTS["machine"], share * PARTS["model"]])


def test_the_sections_of_errors_run_side_by_side_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits here until all have begun."""
    begun = Barrier(len(CHECKS))

    def records_of(module: str, arguments: Sequence[str], seconds: float) -> Iterator[Record]:
        begun.wait(60)
        yield {"error": 0.5}

    monkeypatch.setattr(kernels, "records_of", records_of)
    got, failed = run(["errors"], 60, smoke=False, output=None, commit="abc")
    assert failed == 0
    assert sorted(got["parts"]["errors"], key=str) == [{"section": name, "error": 0.5} for name in sorted(CHECKS)]
    assert [*PARTS][:2] == ["machine", "errors"]
    assert {*SECTIONS} - {*CHECKS} == {*PARTS} - {"errors"}


def test_after_the_largest_tile_comes_what_the_last_program_to_arrive_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experts_kernels, "mixed_by_reference", Mock(side_effect=MemoryError))
    shapes = replace(TINY, checked_tokens=(1, 4, 8, 9))
    records = experts_kernels.check_experts(shapes, torch.device("cpu"), Speeds(1.0, 1.0))
    assert [record["tokens"] for record in records] == [9, 9, 1, 1, 4, 4, 8, 8]


def test_sequences_of_a_batch_go_to_different_experts() -> None:
    """Which they can by their tokens alone: they stand at one position."""
    batch = make_batch(TINY, [(20, 1)] * 6, torch.device("cpu"))
    assert len(batch.token_ids.unique()) == 6
    assert set(batch.positions.tolist()) == {20}


def test_what_is_timed_does_not_stay_in_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cold_copies(2**17, torch.device("cuda")) * 2**17 == COLD_BYTES
    assert cold_copies(2**28 + 1, torch.device("cuda")) == cold_copies(1, torch.device("cpu")) == 1
    timed: list[Sequence[Any]] = []
    monkeypatch.setattr(device, "seconds_a_call", lambda calls, device: timed.append(calls) or 1.0)
    for module in attention_kernels, experts_kernels:
        monkeypatch.setattr(module, "cold_copies", lambda nbytes, device: 20)
    for name in "attention", "linear", "router":
        assert list(kernels.section(name)(TINY, torch.device("cpu"), Speeds(1.0, 1.0)))
    assert {len({tuple(map(id, call.args)) for call in calls}) for calls in timed} == {20}


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["kernels"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert kernels.main() == 1
    assert "--smoke" in capsys.readouterr().err


def test_the_published_sizes_are_what_the_targets_speak_of() -> None:
    assert PUBLISHED.expert_tokens == (1, 8, 32, 128, 256, 8192)
    assert PUBLISHED.decode_batches == (1, 8, 32, 128, 256)
    assert (PUBLISHED.contexts[0], PUBLISHED.contexts[-1]) == (1024, 131_072)
