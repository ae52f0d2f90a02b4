"""The engine on a CUDA GPU beside its floors and its peers, from random weights of the published shapes, as JSON.

    python -m benchmarks.gpu --output benchmarks/results/gpu-h200.json [--llama-cpp PATH]

One call takes under ten minutes and needs torch, triton, numpy, msgspec and transformers; it draws a plot beside the
JSON if matplotlib is installed. Each part runs in its own process and within its own time, so that a part that fails or
hangs costs only itself. The file is written after every record and names what there was no time or memory for. The
kernels are compiled first, untimed, by engines of few layers: Triton keeps them for the parts that follow.

The floors are those of this GPU, whose copying and multiplying speeds are measured in the same run. transformers runs
in bfloat16. PATH is llama.cpp's source: its CUDA build and a checkpoint in its format are made there in the background,
unless they exist. `--smoke` runs everything at tiny sizes on the CPU, which proves the script; its times mean nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

import torch

from benchmarks import gpu_compile, gpu_engine, gpu_llama_cpp, gpu_transformers
from benchmarks.determinism import bits_agree
from benchmarks.device import commit_of_source, measure_machine, measure_speeds
from benchmarks.gpu_plot import plot
from benchmarks.gpu_workloads import WORKLOADS, workload
from benchmarks.isolated import Record, Result, minutes_left, records_of, run_parts, seconds_until, side_by_side, within

PARTS = {
    "machine": 20,
    "compile": 75,
    "20b": 150,
    "120b": 110,
    "transformers": 50,
    "determinism": 35,
    "llama.cpp": 115,
}
"""Seconds of each part, including the start of its process, in the order of the run. The last part has all the time
that the others leave: llama.cpp has to be built."""
MINUTES = 9.5


def run(
    parts: list[str], minutes: float, *, smoke: bool, llama_cpp: Path | None, output: Path | None, commit: str
) -> tuple[Result, int]:
    """Runs parts until the time is over. Returns their records, and how many parts failed."""
    wanted = llama_cpp is not None and "llama.cpp" in parts and not smoke
    building = gpu_llama_cpp.prepare(llama_cpp) if wanted and llama_cpp is not None else []

    def records(part: str, seconds: float) -> Iterator[Record]:
        if part == "compile":
            return compiling(seconds, smoke=smoke)
        if part == "llama.cpp" and building:
            began = monotonic()
            gpu_llama_cpp.wait(building, seconds - gpu_llama_cpp.MEASURING_SECONDS)
            gpu_llama_cpp.stop(building)
            seconds -= monotonic() - began
        return records_of_part(part, seconds, smoke=smoke, llama_cpp=llama_cpp)

    try:
        return run_parts(parts, PARTS, minutes, records, commit=commit, smoke=smoke, output=output)
    finally:
        gpu_llama_cpp.stop(building)


def compiling(seconds: float, *, smoke: bool) -> Iterator[Record]:
    """Compiles the models' kernels side by side: compiling takes a core per model and hardly any of the GPU."""
    asked = ["--part", "compile", *["--smoke"] * smoke]
    models = {model: records_of("benchmarks.gpu", [*asked, "--model", model], seconds) for model in WORKLOADS}
    return side_by_side("model", models)


def records_of_part(part: str, seconds: float, *, smoke: bool, llama_cpp: Path | None) -> Iterator[Record]:
    """A part's records. An engine that does not start is tried again once with each remedy. An engine that lost its
    device is started again for the missing figures."""
    until = monotonic() + seconds
    asked = ["--part", part, *["--smoke"] * smoke]
    asked += ["--llama-cpp", str(llama_cpp)] if llama_cpp is not None else []
    remedies: list[str] = []
    figures: list[str] | None = []
    while figures is not None:
        kinds = [word for figure in figures for word in ("--figure", figure)]
        again = None
        for record in records_of("benchmarks.gpu", [*asked, *remedies, *kinds], until - monotonic()):
            if record.get("what") == "start" and "failed" in record:
                flag, *value = remedy(str(record["failed"]))
                if flag not in remedies:
                    remedies, again = [*remedies, flag, *value], figures
            if isinstance(missing := record.get("missing"), list) and missing:
                again = missing
            yield record
        figures = again if monotonic() < until else None


def remedy(failure: str) -> list[str]:
    """Flags with which an engine that did not start may start. If memory ran out, with less of it, as without CUDA
    graphs the plan would give their share to the caches; else without graphs: slow figures are better than none.

    >>> remedy("OutOfMemoryError: CUDA out of memory. Tried to allocate 1.1 GiB."), remedy("RuntimeError: no capture")
    (['--memory', '0.75'], ['--enforce-eager'])
    """
    if "out of memory" in failure.lower():
        return ["--memory", str(gpu_engine.LESS_MEMORY)]
    return ["--enforce-eager"]


def measure(
    part: str,
    seconds: float,
    device: torch.device,
    *,
    smoke: bool,
    llama_cpp: Path | None,
    enforce_eager: bool,
    memory: float,
    figures: Sequence[str],
    model: str,
) -> Iterator[Record]:
    """The records of one part, in this process."""
    torch.manual_seed(0)
    if part == "determinism":
        yield {"bits": "the same" if bits_agree(str(device)) else "NOT THE SAME", "in": "any company, any chunks"}
    elif part == "compile":
        yield gpu_compile.measure(workload(model, smoke=smoke), device)
    elif part == "llama.cpp":
        yield from gpu_llama_cpp.measure(workload("20b", smoke=smoke), llama_cpp, seconds)
    elif part == "transformers":
        yield from gpu_transformers.measure(workload("20b", smoke=smoke), device, seconds)
    elif part == "machine":
        yield from measure_machine(None, device, measure_speeds(device))
    else:
        asked, speeds = workload(part, smoke=smoke), measure_speeds(device)
        yield from gpu_engine.measure(
            asked, device, speeds, seconds, enforce_eager=enforce_eager, memory=memory, kinds=figures
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file; without it, the figures are only printed")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="only this part; may be repeated")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time limit; less shortens all parts alike")
    parser.add_argument("--llama-cpp", type=Path, metavar="PATH", help="llama.cpp's source")
    parser.add_argument("--commit", help="this source's commit, if git cannot tell")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--part", choices=list(PARTS), help="run this part here and print its records")
    parser.add_argument("--until", type=float, help="for --part: when it ends, by the monotonic clock")
    parser.add_argument("--enforce-eager", action="store_true", help="for --part: no CUDA graphs")
    parser.add_argument(
        "--memory", type=float, metavar="SHARE", default=gpu_engine.MEMORY, help="for --part: share of the GPU's memory"
    )
    parser.add_argument(
        "--figure", action="append", choices=list(gpu_engine.FIGURES), help="for --part: only this kind"
    )
    parser.add_argument("--model", choices=list(WORKLOADS), default="20b", help="for --part compile")
    args = parser.parse_args()
    if not (args.smoke or torch.cuda.is_available()):
        print("benchmarks.gpu needs a CUDA GPU, and torch sees none; --smoke needs none", file=sys.stderr)
        return 1
    source = None if args.llama_cpp is None else args.llama_cpp.resolve()
    if args.part is not None:
        device, seconds = torch.device("cpu" if args.smoke else "cuda"), seconds_until(args.until)
        records = measure(
            args.part,
            seconds,
            device,
            smoke=args.smoke,
            llama_cpp=source,
            enforce_eager=args.enforce_eager,
            memory=args.memory,
            figures=args.figure or list(gpu_engine.FIGURES),
            model=args.model,
        )
        for record in within(seconds, records):
            print(json.dumps(record), flush=True)
        return 0
    result, failed = run(
        args.only or list(PARTS),
        minutes_left(args.minutes),
        smoke=args.smoke,
        llama_cpp=source,
        output=args.output,
        commit=args.commit or commit_of_source(),
    )
    if args.output is not None:
        print(plot(result["parts"], args.output.with_suffix(".svg")))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
