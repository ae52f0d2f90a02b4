"""The benchmark of CPUs: the script at a tiny size, a stand-in for llama.cpp's tool, tables of measurements."""

import shutil
import stat
import sys
from pathlib import Path

import pytest

from benchmarks import cpu, cpu_profile
from benchmarks.cpu_results import CAROUSEL, FP8, LLAMA_CPP, TRANSFORMERS, Program, Results
from benchmarks.cpu_table import full_table, readme_table
from benchmarks.peers.case import Case, Setup, Speeds
from benchmarks.peers.checkpoint import make_checkpoint
from benchmarks.peers.llama_cpp import LlamaCpp
from benchmarks.peers.worker import Worker
from benchmarks.read_speed import ReadSpeed
from tests.checkpoints import small_config

ROOT = Path(__file__).parents[2]
CASES = [Case(1, 20, 4), Case(2, 20, 3)]
BATCHED_BENCH = """#!{python}
import json, sys
options = dict(zip(sys.argv[1:], sys.argv[2:]))
if options["-npl"] == "3":
    print("out of memory")
    sys.exit(2)
kept = bytes(50_000_000)
print("llama_batched_bench: n_kv_max = 512")
print(json.dumps({{"speed_pp": float(options["-npp"]), "speed_tg": float(options["-t"]) / 2, "pp": 1}}))
"""


def test_the_script_at_a_tiny_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small_config(vocab_size=300)
    checkpoint, starts = cpu.prepare(tmp_path, model, 1, CASES, without=[FP8, LLAMA_CPP])
    results = cpu.measure(starts, lambda: 1e9, model, checkpoint, CASES, rounds=2)
    assert list(results.programs) == [CAROUSEL, TRANSFORMERS]
    for program in results.programs.values():
        assert program.start_seconds > 0
        assert program.peak_bytes > 100e6
        assert set(program.prefill) == {"1 x 20"}
        assert set(program.decode) == {"1 x 20", "2 x 20"}
        assert all(speed > 0 for speeds in program.decode.values() for speed in speeds)
    began = [line.split(", ")[2] for line in capsys.readouterr().out.splitlines() if "1 x 20" in line]
    assert [name.partition(":")[0] for name in began] == [CAROUSEL, TRANSFORMERS, TRANSFORMERS, CAROUSEL]
    output = tmp_path / "results" / "tiny.json"
    cpu.write(results, output)
    assert Results.read(output) == results
    assert output.with_suffix(".svg").read_text().rstrip().endswith("</svg>")
    assert readme_table(results).count("\n| decode") == 2


def test_a_program_that_ends_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match=r"benchmarks\.peers\.carousel ended with status 1"):
        Worker("benchmarks.peers.carousel", Setup(str(tmp_path / "nothing"), threads=1, streams=1, length=16))
    assert "nothing" in capfd.readouterr().err


def test_llama_cpps_tool_is_read(tmp_path: Path) -> None:
    tool = tmp_path / "llama-batched-bench"
    tool.write_text(BATCHED_BENCH.format(python=sys.executable))
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    program = LlamaCpp(tmp_path, tmp_path / "model.gguf", threads=6)
    assert program.run(Case(2, 77, 5), seed=1) == Speeds(prefill=77.0, decode=3.0)
    assert program.peak_bytes > 50e6
    assert program.start_seconds > 0
    with pytest.raises(RuntimeError, match="out of memory"):
        program.run(Case(3, 77, 5), seed=1)


def test_the_memorys_speed(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        with pytest.raises(RuntimeError, match="C compiler"):
            ReadSpeed(tmp_path, threads=1)
    else:
        assert 1e8 < ReadSpeed(tmp_path, threads=2, mebibytes=16).measure() < 1e13


def made_up() -> Results:
    """Two rounds in which Carousel is 1.5 and 2.5 times as fast as llama.cpp at decode."""

    def program(factor: float, *, peak: float, rounds: tuple[float, float]) -> Program:
        decode = {"1 x 128": [10 * factor * speed for speed in rounds], "8 x 512": [400 * factor] * 2}
        floors = {"1 x 128": 2e9 / factor, "8 x 512": 8e9}
        return Program(factor, int(peak), {"1 x 128": [100.0, 100.0 * factor]}, decode, floors)

    return Results(
        date="2026-01-02",
        commit="abc",
        machine={"cpu": "A CPU", "model": "family 1, model 2", "cores": "2", "memory": "8 GiB", "flags": "fma avx2"},
        versions={"torch": "2"},
        cases=[Case(1, 128, 32), Case(8, 512, 32)],
        read_speeds=[60e9, 100e9],
        programs={
            CAROUSEL: program(1, peak=1e9, rounds=(1.5, 2.5)),
            FP8: program(2, peak=1e9, rounds=(1.5, 2.5)),
            LLAMA_CPP: program(1, peak=2e9, rounds=(1, 1)),
        },
    )


def test_ratios_and_shares_are_taken_within_a_round() -> None:
    results = made_up()
    assert results.ratios(CAROUSEL, LLAMA_CPP, "decode", "1 x 128") == [1.5, 2.5]
    assert results.floor_shares(CAROUSEL, "1 x 128") == [0.5, 0.5]
    assert results.floor_shares(CAROUSEL, "8 x 512") == pytest.approx([400 / 60, 4.0])


def test_the_table() -> None:
    lines = readme_table(made_up()).splitlines()
    assert lines[:9] == [
        "| tokens a second | Carousel | llama.cpp | against llama.cpp |",
        "| --- | --- | --- | --- |",
        "| decode, 1 stream | 20 | 10 | **2.00** (1.50–2.50) |",
        "| decode, 1 stream, `--quantization fp8` | 40 | 10 | **4.00** (3.00–5.00) |",
        "| decode, 8 streams after 512 tokens | 400 | 400 | **1.00** (1.00–1.00) |",
        "| prefill of 128 | 100 | 100 | **1.00** (1.00–1.00) |",
        "| start, seconds | 1.0 | 1.0 |  |",
        "| peak memory, GB | 1.00 | 2.00 |  |",
        "",
    ]
    assert "Of the speed that allows, Carousel reaches: decode, 1 stream 50%." in lines[9]
    assert lines[10:] == [
        "Medians of 2 rounds, in brackets their range, on 2026-01-02, commit abc:",
        "2 cores of A CPU (family 1, model 2; avx2), 8 GiB;",
        "torch 2.",
    ]
    assert full_table(made_up()).count("fp8") == 3


def test_a_profile_names_the_models_ops(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cpu_profile.run(
        make_checkpoint(tmp_path / "checkpoint", small_config(vocab_size=300)), 1, streams=(1, 2), read=9, steps=1
    )
    tables = capfd.readouterr().out.split("ms a step")
    assert [table.splitlines()[-1].partition(":")[0] for table in tables[:-1]] == [
        "decode of 1",
        "decode of 2",
        "decode of 1 and a prompt of 9",
    ]
    assert all("op mix_experts" in table and "op ring_attention" in table for table in tables[1:])
