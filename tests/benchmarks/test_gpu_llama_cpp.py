"""llama.cpp beside us: made while others are measured, and read. Its CUDA build is not made here."""

import json
import os
import stat
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_llama_cpp
from benchmarks.gpu_llama_cpp import BUILD, MODEL, TOOL, begin, half_of_cores, measure, prepare, stop, wait
from benchmarks.gpu_workloads import SMOKE


def write_tool(source: Path, lines: Sequence[str]) -> None:
    tool = source / BUILD / "bin" / TOOL
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(
        "\n".join(["#!/bin/sh", 'if [ "$1" = --version ]; then echo "version: 7 (abc)" >&2; exit; fi', *lines])
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


def printed(prompt: int, requests: int, speed: float) -> str:
    line = {"pp": prompt, "tg": 128, "pl": requests, "speed_pp": 10 * speed, "speed_tg": speed}
    return f"echo '{json.dumps(line)}'"


def test_its_figures_are_read_when_it_is_warm(tmp_path: Path) -> None:
    sizes = [printed(8, 1, 50.0), printed(8, 1, 60.0), printed(8, 2, 70.0), printed(8, 2, 80.0)]
    write_tool(tmp_path, [*sizes, "exit 3"])
    (tmp_path / BUILD / MODEL).touch()
    start, *decode, failure, prefill, _, _ = measure(SMOKE, tmp_path, 60)
    assert start == {"what": "start", "version": "7 (abc)"}
    assert decode == [
        {"what": "decode", "requests": 1, "context": 8, "tokens_per_second": 60.0},
        {"what": "decode", "requests": 2, "context": 8, "tokens_per_second": 80.0},
    ]
    assert failure == {"what": "decode", "failed": "exit status 3"}
    assert prefill == {"what": "prefill", "tokens": 8, "tokens_per_second": 600.0}


def test_it_is_asked_for_every_size_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(tmp_path, [])
    (tmp_path / BUILD / MODEL).touch()
    asked: list[dict[str, str]] = []

    def printed_by(command: Sequence[str], seconds: float) -> list[Any]:
        asked.append(dict(pairwise(command)))
        return []

    monkeypatch.setattr(gpu_llama_cpp, "printed_by", printed_by)
    assert len(list(measure(SMOKE, tmp_path, 60))) == 1
    decode, prefill = asked
    assert (decode["-npp"], decode["-npl"], decode["-ntg"], decode["-ub"]) == ("8", "1,1,2,2", "128", "2048")
    assert int(decode["-c"]) == 2 * (8 + 128 + 1)
    assert (prefill["-npp"], prefill["-npl"], prefill["-c"]) == ("8,8,16,16", "1", "18")


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    (missing,) = measure(SMOKE, None, 60)
    assert "--llama-cpp" in str(missing["left_out"])
    wrong = tmp_path / "nowhere"
    assert prepare(wrong) == []
    (missing,) = measure(SMOKE, wrong, 60)
    assert f"{wrong} is not llama.cpp's source" in str(missing["left_out"])
    (tmp_path / "CMakeLists.txt").touch()
    (tmp_path / BUILD).mkdir()
    (tmp_path / BUILD / "build.log").write_text("[ 41%] Building CUDA object\nnvcc: not found\n")
    (missing,) = measure(SMOKE, tmp_path, 60)
    assert str(missing["left_out"]).endswith("Building CUDA object\nnvcc: not found")
    write_tool(tmp_path, [])
    (missing,) = measure(SMOKE, tmp_path, 60)
    assert "convert.log" in str(missing["left_out"])


def test_where_nothing_can_be_written_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").touch()
    (tmp_path / BUILD).touch()
    assert prepare(tmp_path) == []


def test_the_build_and_the_model_are_made_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[str, set[int]]] = []

    def began(commands: Sequence[Sequence[object]], log: Path, cores: set[int]) -> Any:
        begun.append((" ".join(str(word) for command in commands for word in command), cores))
        return log.name

    monkeypatch.setattr(gpu_llama_cpp, "begin", began)
    monkeypatch.setattr(gpu_llama_cpp, "nvidia_smi", lambda field: "9.0")
    (tmp_path / "CMakeLists.txt").touch()
    assert prepare(tmp_path) == ["build.log", "convert.log"]
    (build, cores), (convert, _) = begun
    assert "-DLLAMA_BUILD_SERVER=OFF" in build
    assert "-DCMAKE_CUDA_ARCHITECTURES=90a-real" in build
    assert f"--parallel {len(cores)} --target {TOOL}" in build
    assert convert.index("gpu_checkpoint") < convert.index("peers.convert") < convert.index("mv ")
    write_tool(tmp_path, [])
    assert prepare(tmp_path) == ["convert.log"]


def test_what_is_begun_leaves_half_of_the_cores_and_goes_behind(tmp_path: Path) -> None:
    cores, log = os.sched_getaffinity(0), tmp_path / "log"
    told = "import os; print(os.sched_getaffinity(0), os.nice(0))"
    process = begin([[sys.executable, "-c", told], ["echo", "it's done"]], log, half_of_cores())
    assert process.wait(60) == 0
    assert log.read_text() == f"{half_of_cores()} 19\nit's done\n"
    assert len(half_of_cores()) == (len(cores) + 1) // 2
    assert os.sched_getaffinity(0) == cores


def test_what_fails_is_not_waited_for_and_all_is_stopped(tmp_path: Path) -> None:
    log, cores = tmp_path / "log", os.sched_getaffinity(0)
    endless = begin([["sleep", "600"], ["echo", "done"]], log, cores)
    failed = begin([["false"], ["sleep", "600"]], log, cores)
    wait([endless, failed], 600)
    assert failed.poll() == 1
    assert endless.poll() is None
    wait([endless], 0)
    stop([endless, failed])
    assert endless.poll() == -9
    quick = begin([["true"]], log, cores)
    wait([quick], 600)
    assert quick.poll() == 0
