"""Every kernel and the whole model on a CUDA GPU: compared with the references, and timed beside the floors, as JSON.

    python -m benchmarks.kernels --output benchmarks/results/kernels-h200.json

One call takes under ten minutes on an H200 and needs torch, triton, numpy and msgspec. The kernels' errors come first,
then their times. A failure is recorded, and the next measurement follows. Each section runs in its own process and
within its own time, so that a section that hangs or loses the device costs only itself. The sections of errors, which
time nothing and wait for Triton's compiler, run side by side; Triton keeps what they compile for the later ones. The
file is written after every record and names what there was no time for. Times are medians by the device's own clock, of
many warm calls in one CUDA graph, over random weights. The floors are those of this GPU, whose copying and multiplying
speeds are measured in the same run. `--smoke` runs everything once at tiny sizes, without a GPU in Triton's
interpreter, which proves the script; its times mean nothing.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.device import Speeds, commit_of_source, measure_speeds
from benchmarks.isolated import Record, Result, minutes_left, records_of, run_parts, seconds_until, side_by_side, within
from benchmarks.shapes import PUBLISHED, TINY, Shapes

Section = Callable[[Shapes, torch.device, Speeds], Iterator[Record]]

SECTIONS = {
    "machine": "device:measure_machine",
    "experts_error": "experts_kernels:check_experts",
    "router_error": "experts_kernels:check_router",
    "attention_error": "attention_kernels:check_attention",
    "linear_error": "attention_kernels:check_linear",
    "model_error": "model_kernels:check_model",
    "model": "model_kernels:measure_model",
    "experts": "experts_kernels:measure_experts",
    "attention": "attention_kernels:measure_attention",
    "router": "experts_kernels:measure_router",
    "linear": "attention_kernels:measure_linear",
    "sampling": "model_kernels:measure_sampling",
    "peer_experts": "peer_experts:measure",
}
"""What is measured. The modules are imported after the interpreter is chosen or not, because importing Triton decides
that."""
ERRORS = tuple(name for name in SECTIONS if name.endswith("_error"))
PARTS = {
    "machine": 20,
    "errors": 165,
    "model": 75,
    "experts": 80,
    "attention": 70,
    "router": 20,
    "linear": 50,
    "sampling": 25,
    "peer_experts": 50,
}
"""The seconds of each part in their order, including the start of its process. All sections of errors are one part; the
last part has all the time that the others leave."""

MINUTES = 9.5


def section(name: str) -> Section:
    module, function = SECTIONS[name].split(":")
    found: Section = getattr(import_module(f"benchmarks.{module}"), function)
    return found


def run(names: list[str], minutes: float, *, smoke: bool, output: Path | None, commit: str) -> tuple[Result, int]:
    """Runs parts until the time is over. Returns their records, and how many failed."""

    def of_section(name: str, seconds: float) -> Iterator[Record]:
        return records_of("benchmarks.kernels", ["--section", name, *["--smoke"] * smoke], seconds)

    def records(part: str, seconds: float) -> Iterator[Record]:
        if part == "errors":
            return side_by_side("section", {name: of_section(name, seconds) for name in ERRORS})
        return of_section(part, seconds)

    return run_parts(names, PARTS, minutes, records, commit=commit, smoke=smoke, output=output)


def measure(name: str, shapes: Shapes, device: torch.device, seconds: float) -> Iterator[Record]:
    """The records of one section, in this process."""
    torch.manual_seed(0)

    def records() -> Iterator[Record]:
        yield from section(name)(shapes, device, measure_speeds(device))

    return within(seconds, records())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file; without it, the figures are only printed")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="only this part; may be repeated")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="time limit; less shortens all parts alike")
    parser.add_argument("--commit", help="this source's commit, if git cannot tell")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once, on the CPU")
    parser.add_argument("--section", choices=list(SECTIONS), help="run this section here and print its records")
    parser.add_argument("--until", type=float, help="for --section: when it ends, by the monotonic clock")
    args = parser.parse_args()
    if args.smoke:
        os.environ["TRITON_INTERPRET"] = "1"
    elif not torch.cuda.is_available():
        print("benchmarks.kernels needs a CUDA GPU, and torch sees none; --smoke needs none", file=sys.stderr)
        return 1
    if args.section is not None:
        shapes, device = (TINY, torch.device("cpu")) if args.smoke else (PUBLISHED, torch.device("cuda"))
        for record in measure(args.section, shapes, device, seconds_until(args.until)):
            print(json.dumps(record), flush=True)
        return 0
    source = args.commit or commit_of_source()
    minutes = minutes_left(args.minutes)
    _, failed = run(args.only or list(PARTS), minutes, smoke=args.smoke, output=args.output, commit=source)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
