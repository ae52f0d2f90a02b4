"""Every kernel and the whole model on a CUDA GPU: held against the references, and timed beside the floors, as JSON.

    python -m benchmarks.kernels --output benchmarks/results/kernels-h200.json

One call, under ten minutes on an H200 with torch, triton and numpy. What the kernels give comes first, their times
after it; the file is written after every section, and what there was no time for is named in it. Times are medians of
the device's own clock, many calls in one CUDA graph, warm, over random weights. The floors are those of this GPU: its
speed at copying and at multiplying is measured in the same run. `--smoke` runs everything once at tiny sizes, without a
GPU in Triton's interpreter: a proof of the script, and its times mean nothing.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from time import monotonic

import torch

from benchmarks.device import Speeds, describe_machine, measure_speeds
from benchmarks.shapes import PUBLISHED, TINY, Shapes

Section = Callable[[Shapes, torch.device, Speeds], Iterator[dict[str, object]]]

SECTIONS = {
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
}
"""What is measured, in this order; the modules are imported when the interpreter was chosen or not, for they import
Triton, which decides then."""


def section(name: str) -> Section:
    module, function = SECTIONS[name].split(":")
    found: Section = getattr(import_module(f"benchmarks.{module}"), function)
    return found


def run(shapes: Shapes, device: torch.device, names: list[str], minutes: float, output: Path | None) -> int:
    """Runs sections until the time is over. Returns how many failed."""
    began, failed = monotonic(), 0
    torch.manual_seed(0)
    speeds = measure_speeds(device)
    result: dict[str, object] = {
        "machine": describe_machine(device),
        "smoke": shapes is TINY,
        "bytes_per_second": speeds.bytes,
        "operations_per_second": speeds.operations,
    }
    print(json.dumps(result), flush=True)
    for name in names:
        records: list[dict[str, object]] = []
        result[name] = records
        try:
            for record in section(name)(shapes, device, speeds):
                records.append(record)
                print(name, json.dumps(record), flush=True)
                if monotonic() - began > 60 * minutes:
                    records.append({"left_out": f"the rest: {minutes} minutes are over"})
                    break
        except Exception as error:  # One kernel's failure is a result, and the others are still wanted.
            failed += 1
            records.append({"failed": f"{type(error).__name__}: {error}"})
            print(name, json.dumps(records[-1]), file=sys.stderr, flush=True)
        result["minutes"] = round((monotonic() - began) / 60, 2)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(result, indent=1) + "\n")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file; without it, the figures are only printed")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="a section; may be repeated")
    parser.add_argument("--minutes", type=float, default=9.0, help="what is not done by then is left out")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once, on the CPU")
    args = parser.parse_args()
    if args.smoke:
        os.environ["TRITON_INTERPRET"] = "1"
    elif not torch.cuda.is_available():
        print("benchmarks.kernels needs a CUDA GPU, and torch sees none; --smoke needs none", file=sys.stderr)
        return 1
    shapes, device = (TINY, torch.device("cpu")) if args.smoke else (PUBLISHED, torch.device("cuda"))
    return 1 if run(shapes, device, args.only or list(SECTIONS), args.minutes, args.output) else 0


if __name__ == "__main__":
    sys.exit(main())
