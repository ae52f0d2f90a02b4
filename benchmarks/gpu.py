"""The engine on a CUDA GPU beside its floors and its peers, from random weights of the published shapes, as JSON.

    python -m benchmarks.gpu --output benchmarks/results/gpu-h200.json [--llama-cpp PATH]

One call, under ten minutes, with torch, triton, numpy, msgspec and transformers; a plot beside the JSON where
matplotlib is installed. Each part runs in a process of its own for the seconds it is given, so that one that fails or
hangs costs itself alone; the file is written after every record, and what there was no time or no memory for is named
in it.

The floors are those of this GPU, whose speed at copying and at multiplying is measured in the same run. transformers
runs in bfloat16. PATH is llama.cpp's source: its CUDA build and a checkpoint in its format are made there, behind what
is measured meanwhile, unless they are there. `--smoke` runs all of it at tiny sizes on the CPU: a proof of the script,
and its times mean nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from time import monotonic

import torch

from benchmarks import gpu_engine, gpu_peers
from benchmarks.determinism import bits_agree
from benchmarks.device import measure_machine, measure_speeds
from benchmarks.gpu_plot import plot
from benchmarks.gpu_workloads import workload
from benchmarks.isolated import Record, Result, records_of, run_parts, within

PARTS = {
    "machine": 30,
    "20b": 180,
    "120b": 130,
    "transformers": 80,
    "llama.cpp": 80,
    "determinism": 40,
}
"""Seconds of each part, in the order they are run."""
MINUTES = 9.5


def run(
    parts: list[str], minutes: float, *, smoke: bool, llama_cpp: Path | None, output: Path | None
) -> tuple[Result, int]:
    """Runs parts until the time is over. Returns their records, and how many parts failed."""
    building = None
    if llama_cpp is not None and "llama.cpp" in parts and not smoke:
        building = gpu_peers.prepare_llama_cpp(llama_cpp)

    def records(part: str, seconds: float) -> Iterator[Record]:
        if part == "llama.cpp" and building is not None:
            seconds -= wait(building, seconds / 2)
        return records_of_part(part, seconds, smoke=smoke, llama_cpp=llama_cpp)

    result, failed = run_parts(parts, PARTS, minutes, records, smoke=smoke, output=output)
    if building is not None and building.poll() is None:
        building.terminate()
    return result, failed


def wait(building: Popen[bytes], seconds: float) -> float:
    """Until it is built, for so many seconds at most. Returns how many it took."""
    began = monotonic()
    with suppress(TimeoutExpired):
        building.wait(seconds)
    return monotonic() - began


def records_of_part(part: str, seconds: float, *, smoke: bool, llama_cpp: Path | None) -> Iterator[Record]:
    """A part's records. An engine that does not start is tried once more without CUDA graphs: better slow than none."""
    began, started = monotonic(), True
    asked = ["--part", part, *["--smoke"] * smoke]
    asked += ["--llama-cpp", str(llama_cpp)] if llama_cpp is not None else []
    for record in records_of("benchmarks.gpu", asked, seconds):
        started &= not (record.get("what") == "start" and "failed" in record)
        yield record
    if not started:
        yield from records_of("benchmarks.gpu", [*asked, "--enforce-eager"], seconds - (monotonic() - began))


def measure(
    part: str, seconds: float, device: torch.device, *, smoke: bool, llama_cpp: Path | None, enforce_eager: bool
) -> Iterator[Record]:
    """The records of one part, in this process."""
    torch.manual_seed(0)
    if part == "determinism":
        yield {"bits": "the same" if bits_agree(str(device)) else "NOT THE SAME", "in": "any company, any chunks"}
    elif part == "llama.cpp":
        yield from gpu_peers.llama_cpp(workload("20b", smoke=smoke), llama_cpp, seconds)
    elif part == "transformers":
        yield from gpu_peers.transformers(workload("20b", smoke=smoke), device, seconds)
    else:
        speeds = measure_speeds(device)
        if part == "machine":
            yield from measure_machine(None, device, speeds)
        else:
            yield from gpu_engine.measure(
                workload(part, smoke=smoke), device, speeds, seconds, enforce_eager=enforce_eager
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file; without it, the figures are only printed")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="a part; may be repeated")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="what is not done by then is left out")
    parser.add_argument("--llama-cpp", type=Path, metavar="PATH", help="llama.cpp's source")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--part", choices=list(PARTS), help="run this part here, and print its records")
    parser.add_argument("--seconds", type=float, default=60.0, help="for --part")
    parser.add_argument("--enforce-eager", action="store_true", help="for --part: no CUDA graphs")
    args = parser.parse_args()
    if not (args.smoke or torch.cuda.is_available()):
        print("benchmarks.gpu needs a CUDA GPU, and torch sees none; --smoke needs none", file=sys.stderr)
        return 1
    asked = {"smoke": args.smoke, "llama_cpp": args.llama_cpp}
    if args.part is not None:
        device = torch.device("cpu" if args.smoke else "cuda")
        records = measure(args.part, args.seconds, device, enforce_eager=args.enforce_eager, **asked)
        for record in within(args.seconds, records):
            print(json.dumps(record), flush=True)
        return 0
    result, failed = run(args.only or list(PARTS), args.minutes, output=args.output, **asked)
    if args.output is not None:
        print(plot(result["parts"], args.output.with_suffix(".svg")))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
