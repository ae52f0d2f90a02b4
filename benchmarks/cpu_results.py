"""The results of `benchmarks.cpu`, as in its file."""

import os
import platform
from pathlib import Path

import msgspec
import psutil

from benchmarks.device import package_version
from benchmarks.peers import llama_cpp
from benchmarks.peers.case import Case, Speeds

CAROUSEL, FP8, LLAMA_CPP, TRANSFORMERS = "Carousel", "Carousel fp8", "llama.cpp", "transformers"
"""The programs' names. Carousel is measured without flags and with --quantization fp8."""
FLAGS = ("fma", "f16c", "avx2", "avx_vnni", "avx512", "amx")
"""Prefixes of the CPU's features that matter here."""


class Program(msgspec.Struct):
    """A program's figures by the case's name: tokens a second in each round. `prefill` is of one stream.

    `floor_bytes` is what a step of a case must at least read.
    """

    start_seconds: float
    peak_bytes: int
    prefill: dict[str, list[float]]
    decode: dict[str, list[float]]
    floor_bytes: dict[str, float]


class Results(msgspec.Struct):
    """A run. `read_speeds` are the memory's bytes a second, one per round; `llama_bench` is the output of llama.cpp's
    other tool for reading 512 tokens and writing 32."""

    date: str
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    cases: list[Case]
    read_speeds: list[float]
    programs: dict[str, Program]
    llama_bench: Speeds | None = None

    def write(self, path: Path) -> None:
        """Writes JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Reads what `write` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    @property
    def rounds(self) -> int:
        return len(self.read_speeds)

    def ratios(self, program: str, peer: str, kind: str, case: str) -> list[float]:
        """The program's speed divided by the peer's, by round."""
        ours, theirs = (getattr(self.programs[name], kind)[case] for name in (program, peer))
        return [own / other for own, other in zip(ours, theirs, strict=True)]

    def floor_shares(self, program: str, case: str) -> list[float]:
        """The program's decode as a share of what the memory's speed allows, by round.

        At 100 GB/s, two streams of a model that reads 10 GB a step can get at most 20 tokens a second.
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
    """The versions of the programs and libraries that compute."""
    return {
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "transformers": package_version("transformers"),
        "llama.cpp": f"of llama-cpp-python {llama_cpp.VERSION}",
    }
