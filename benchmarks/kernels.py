"""Every kernel's time on a CUDA GPU beside its floor, as JSON.

    python -m benchmarks.kernels --output benchmarks/results/kernels-h200.json

Times are medians of the device's own clock, many calls in one CUDA graph, warm, over random weights. The floors are
those of this GPU: its speed at copying and at multiplying is measured in the same run.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.device import Speeds, describe_machine, measure_speeds

Records = Iterator[dict[str, object]]


def check_experts(device: torch.device, _: Speeds) -> Records:
    from benchmarks import experts_kernels

    return experts_kernels.check_experts(device)


def measure_experts(device: torch.device, speeds: Speeds) -> Records:
    from benchmarks import experts_kernels

    return experts_kernels.measure_experts(device, speeds)


def check_attention(device: torch.device, _: Speeds) -> Records:
    from benchmarks import attention_kernels

    return attention_kernels.check_attention(device)


def measure_attention(device: torch.device, speeds: Speeds) -> Records:
    from benchmarks import attention_kernels

    return attention_kernels.measure_attention(device, speeds)


def measure_linear(device: torch.device, speeds: Speeds) -> Records:
    from benchmarks import attention_kernels

    return attention_kernels.measure_linear(device, speeds)


SECTIONS: dict[str, Callable[[torch.device, Speeds], Records]] = {
    "experts_error": check_experts,
    "experts": measure_experts,
    "attention_error": check_attention,
    "attention": measure_attention,
    "linear": measure_linear,
}
"""What is measured; each section imports its kernels itself, for Triton is not everywhere."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a JSON file; without it, the figures are only printed")
    parser.add_argument("--only", action="append", choices=sorted(SECTIONS), help="a section; may be repeated")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.kernels needs a CUDA GPU, and torch sees none", file=sys.stderr)
        return 1
    device = torch.device("cuda")
    torch.manual_seed(0)
    speeds = measure_speeds(device)
    result: dict[str, object] = {
        "machine": describe_machine(device),
        "bytes_per_second": speeds.bytes,
        "operations_per_second": speeds.operations,
    }
    print(json.dumps(result), flush=True)
    for name in args.only or SECTIONS:
        records = []
        for record in SECTIONS[name](device, speeds):
            print(name, json.dumps(record), flush=True)
            records.append(record)
        result[name] = records
        if args.output is not None:
            args.output.parent.mkdir(parents=True, exist_ok=True)
            args.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
