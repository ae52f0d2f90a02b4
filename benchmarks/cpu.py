"""Carousel, llama.cpp and transformers on this machine's CPU: one random checkpoint, the same cores, in turn.

    python -m benchmarks.cpu --output benchmarks/results/cpu.json     under 15 minutes; with a plot, cpu.svg
    python -m benchmarks.cpu --quick                                  under 4
    python -m benchmarks.cpu --table benchmarks/results/cpu.json      the README's table, from a file
    python -m benchmarks.cpu --profile                                where the time of Carousel's steps goes

The first run also makes the checkpoint (0.8 GB), fetches llama.cpp's source (the sdist of llama-cpp-python), builds it
for this machine and converts the checkpoint: some ten minutes more on two cores. That needs the test packages, cmake
and a C++ compiler; the results are kept in --work.

Every round first measures how fast memory can be read, which bounds decode, and then runs every case on every program.
Ratios are taken within a round; the tables have their median and range.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks import cpu_profile
from benchmarks.cpu_plot import plot
from benchmarks.cpu_results import (
    CAROUSEL,
    FP8,
    LLAMA_CPP,
    TRANSFORMERS,
    Program,
    Results,
    describe_machine,
    describe_versions,
)
from benchmarks.cpu_table import full_table, readme_table
from benchmarks.device import commit_of_source
from benchmarks.peers import llama_cpp
from benchmarks.peers.case import Case, Contestant, Setup
from benchmarks.peers.checkpoint import WORK, make_checkpoint
from benchmarks.peers.worker import Worker
from benchmarks.read_speed import ReadSpeed
from benchmarks.shapes import CPU_MODEL
from engine.config import EngineConfig, ModelConfig, Quantization
from engine.floors import DecodeFloor
from engine.kernels.cpu.build import CannotBuildError, cache_directory
from engine.kernels.cpu.library import load_best

QUICK = (Case(1, 128, 32), Case(8, 128, 16), Case(32, 128, 8), Case(1, 512, 16))
FULL = (
    Case(1, 128, 48),
    Case(8, 128, 32),
    Case(32, 128, 16),
    Case(1, 512, 32),
    Case(1, 2048, 32),
    Case(1, 8000, 32),
)
CAROUSELS: dict[str, Quantization] = {CAROUSEL: "none", FP8: "fp8"}

Starts = Mapping[str, Callable[[], Contestant]]


def prepare(
    work: Path, model: ModelConfig, threads: int, cases: Sequence[Case], without: Sequence[str]
) -> tuple[Path, Starts]:
    """Makes what the programs need, unless it exists. Returns the checkpoint's path and how to start each program."""
    work.mkdir(parents=True, exist_ok=True)
    # In a process of its own, because its memory would be counted for every process started from here.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        checkpoint = pool.submit(make_checkpoint, work / "checkpoint", model).result()
        pool.submit(compile_ops).result()
    setup = Setup(
        str(checkpoint),
        threads,
        streams=max(case.streams for case in cases),
        length=max(case.prompt + case.written for case in cases),
    )
    starts: dict[str, Callable[[], Contestant]] = {
        name: partial(Worker, "benchmarks.peers.carousel", replace(setup, quantization=quantization))
        for name, quantization in CAROUSELS.items()
        if name not in without
    }
    if LLAMA_CPP not in without:
        source = llama_cpp.fetch(work)
        tools = llama_cpp.build(source, work)
        converted = llama_cpp.convert(source, checkpoint, work / "checkpoint.gguf")
        starts[LLAMA_CPP] = partial(llama_cpp.LlamaCpp, tools, converted, threads)
    if TRANSFORMERS not in without:
        starts[TRANSFORMERS] = partial(Worker, "benchmarks.peers.transformers", setup)
    return checkpoint, starts


def compile_ops() -> None:
    """Compiles the ops before any program starts, once on a machine. Does nothing without a compiler."""
    with suppress(CannotBuildError):
        load_best(cache_directory())


def measure(
    starts: Starts,
    read_speed: Callable[[], float],
    model: ModelConfig,
    checkpoint: Path,
    cases: Sequence[Case],
    rounds: int,
) -> Results:
    """Runs every case on every program in every round, each time beginning with another program."""
    results = Results(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit_of_source(),
        machine=describe_machine(),
        versions=describe_versions(),
        cases=list(cases),
        read_speeds=[],
        programs={},
    )
    with ExitStack() as running:
        contestants: dict[str, Contestant] = {}
        for name, start in starts.items():
            contestant = contestants[name] = running.enter_context(closing(start()))
            config = EngineConfig(model=checkpoint, quantization=CAROUSELS.get(name, "none"))
            floors = {case.name: floor_bytes(model, config, case) for case in cases}
            results.programs[name] = Program(contestant.start_seconds, 0, {}, {}, floors)
            print(f"{name}: ready after {contestant.start_seconds:.1f} s", flush=True)
            contestant.run(cases[0], seed=0)  # Warm-up: makes buffers and compiled code.
        if isinstance(bench := contestants.get(LLAMA_CPP), llama_cpp.LlamaCpp):
            results.llama_bench = bench.bench(512, 32)
        names = list(contestants)
        for number in range(rounds):
            results.read_speeds.append(read_speed())
            for case in cases:
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    speeds, program = contestants[name].run(case, seed=number + 1), results.programs[name]
                    program.decode.setdefault(case.name, []).append(speeds.decode)
                    if case.streams == 1:
                        program.prefill.setdefault(case.name, []).append(speeds.prefill)
                    program.peak_bytes = contestants[name].peak_bytes
                    figures = f"prefill {speeds.prefill:.0f}, decode {speeds.decode:.1f} tokens/s"
                    print(f"round {number + 1}, {case.name}, {name}: {figures}", flush=True)
    return results


def floor_bytes(model: ModelConfig, config: EngineConfig, case: Case) -> float:
    """The bytes that a step must at least read, halfway through a case's answers."""
    return DecodeFloor(model, config, "mxfp4").step_bytes(case.streams, case.prompt + case.written // 2)


def write(results: Results, output: Path) -> None:
    """Writes the figures as JSON, and a plot beside it."""
    output.parent.mkdir(parents=True, exist_ok=True)
    results.write(output)
    plot(results, output.with_suffix(".svg"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file; without it, the figures are only printed")
    parser.add_argument("--quick", action="store_true", help="fewer cases, up to 512 tokens, and three rounds")
    parser.add_argument("--rounds", type=int, help="default: 5, with --quick 3")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: the cores")
    parser.add_argument("--without", action="append", default=[], choices=(FP8, LLAMA_CPP, TRANSFORMERS))
    parser.add_argument("--work", type=Path, default=WORK, help=f"folder for what is kept; default: {WORK}")
    parser.add_argument("--table", type=Path, metavar="JSON", help="only print the README's table of a result")
    parser.add_argument("--profile", action="store_true", help="only profile steps of Carousel")
    args = parser.parse_args()
    if args.table is not None:
        print(readme_table(Results.read(args.table)))
        return 0
    cases = QUICK if args.quick else FULL
    if args.profile:
        cpu_profile.run(make_checkpoint(args.work / "checkpoint", CPU_MODEL), args.threads)
        return 0
    checkpoint, starts = prepare(args.work, CPU_MODEL, args.threads, cases, args.without)
    rounds = args.rounds or (3 if args.quick else 5)
    results = measure(starts, ReadSpeed(args.work, args.threads).measure, CPU_MODEL, checkpoint, cases, rounds)
    if args.output is not None:
        write(results, args.output)
    print(full_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
