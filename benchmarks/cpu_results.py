"""What `benchmarks.cpu` measured, as it stands in its file."""

import os
import platform
from pathlib import Path

import msgspec
import psutil

from benchmarks.device import package_version
from benchmarks.peers import llama_cpp
from benchmarks.peers.case import Case, Speeds

CAROUSEL, FP8, LLAMA_CPP, TRANSFORMERS = "Carousel", "Carousel fp8", "llama.cpp", "transformers"
"""The programs' names. Carousel is measured as it starts without flags, and with --quantization fp8."""
FLAGS = ("fma", "f16c", "avx2", "avx_vnni", "avx512", "amx")
"""The CPU's features that matter here begin so."""


class Program(msgspec.Struct):
    """A program's figures: by the case's name, tokens a second in each round. `prefill` is that of one stream.

    `floor_bytes` is what a step of a case must read at least.
    """

    start_seconds: float
    peak_bytes: int
    prefill: dict[str, list[float]]
    decode: dict[str, list[float]]
    floor_bytes: dict[str, float]


class Results(msgspec.Struct):
    """A run. `read_speeds` are bytes a second of the memory, one a round; `llama_bench` is what llama.cpp's other tool
    says of reading 512 tokens and writing 32."""

    date: str
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    cases: list[Case]
    read_speeds: list[float]
    programs: dict[str, Program]
    llama_bench: Speeds | None = None

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What `write` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    @property
    def rounds(self) -> int:
        return len(self.read_speeds)

    def ratios(self, program: str, peer: str, kind: str, case: str) -> list[float]:
        """How many times as fast as the peer the program is, by round."""
        ours, theirs = (getattr(self.programs[name], kind)[case] for name in (program, peer))
        return [own / other for own, other in zip(ours, theirs, strict=True)]

    def floor_shares(self, program: str, case: str) -> list[float]:
        """The program's decode as a share of what the memory's speed allows, by round.

        Two streams of a model of 10 GB a step, read at 100 GB/s, can have 20 tokens a second at best.
        """
        measured = self.programs[program]
        streams = next(one.streams for one in self.cases if one.name == case)
        return [
            speed * measured.floor_bytes[case] / (streams * read)
            for speed, read in zip(measured.decode[case], self.read_speeds, strict=True)
        ]


def describe_machine() -> dict[str, str]:
    """The CPU, by Linux's description of it, and the memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    flags = [flag for flag in fields.get("flags", "").split() if flag.startswith(FLAGS)]
    return {
        "cpu": fields.get("model name", "unknown"),
        "model": f"family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}",
        "cores": str(len(os.sched_getaffinity(0))),
        "flags": " ".join(flags),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
    }


def describe_versions() -> dict[str, str]:
    """Of what computes."""
    return {
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "transformers": package_version("transformers"),
        "llama.cpp": f"of llama-cpp-python {llama_cpp.VERSION}",
    }
