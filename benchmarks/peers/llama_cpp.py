"""llama.cpp: its source, its tools, the checkpoint in its format, and its own measurements."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.peers.case import Case, Speeds

PACKAGE = "llama_cpp_python"
VERSION = "0.3.36"
"""Version of the Python package whose source distribution contains llama.cpp's source."""
TOOLS = ("llama-bench", "llama-batched-bench")
WARMING = 256
"""Tokens of context for the tool's own warm-up."""
SETTINGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
)


def fetch(work: Path) -> Path:
    """llama.cpp's source, downloaded from the package index unless it exists."""
    folder = work / f"{PACKAGE}-{VERSION}"
    if not folder.exists():
        wanted = [f"--no-binary={PACKAGE}", "--no-deps", "--dest", str(work), f"{PACKAGE}=={VERSION}"]
        call([sys.executable, "-m", "pip", "download", *wanted])
        with tarfile.open(work / f"{folder.name}.tar.gz") as archive:
            archive.extractall(work, filter="data")
    return folder / "vendor" / "llama.cpp"


def build(source: Path, work: Path) -> Path:
    """The folder of the tools, built for this machine unless they exist."""
    tools = work / "build" / "bin"
    if not all((tools / tool).exists() for tool in TOOLS):
        call(["cmake", "-S", str(source), "-B", str(work / "build"), *SETTINGS])
        jobs = str(len(os.sched_getaffinity(0)))
        call(["cmake", "--build", str(work / "build"), "--parallel", jobs, "--target", *TOOLS])
    return tools


def convert(source: Path, checkpoint: Path, converted: Path) -> Path:
    """The checkpoint as GGUF, converted by llama.cpp's own script unless it exists."""
    if not converted.exists():
        unfinished = converted.with_suffix(".unfinished")
        arguments = str(source), str(checkpoint), "--outfile", str(unfinished), "--outtype", "bf16"
        call([sys.executable, "-m", "benchmarks.peers.convert", *arguments])
        unfinished.rename(converted)
    return converted


def call(command: Sequence[str]) -> str:
    """A command's output. Raises RuntimeError with its last lines if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


class LlamaCpp:
    """A `Contestant`. Every case is a fresh process of `llama-batched-bench`, whose clock excludes its start."""

    def __init__(self, tools: Path, model: Path, threads: int) -> None:
        self._tools, self._model, self._threads = tools, model, str(threads)
        self.peak_bytes = 0
        began = perf_counter()
        self.run(Case(streams=1, prompt=1, written=1), seed=0)
        self.start_seconds = perf_counter() - began

    def run(self, case: Case, seed: int) -> Speeds:
        """The tool draws its own random tokens, whatever the seed. Streams share a prompt, which is read once."""
        context = case.streams * (case.prompt + case.written) + WARMING
        sizes = {"-npl": case.streams, "-npp": case.prompt, "-ntg": case.written, "-c": context}
        options = [word for option, size in sizes.items() for word in (option, str(size))]
        record = self._record(["llama-batched-bench", "--output-format", "jsonl", "-pps", *options])
        return Speeds(prefill=record["speed_pp"], decode=record["speed_tg"])

    def bench(self, prompt: int, written: int) -> Speeds:
        """The figures of one stream by `llama-bench`, whose figures are usually quoted: a check of `run`."""
        command = ["-p", str(prompt), "-n", str(written), "-r", "3", "-o", "jsonl"]
        read, wrote = (json.loads(line) for line in self._output(["llama-bench", *command]).splitlines())
        return Speeds(prefill=read["avg_ts"], decode=wrote["avg_ts"])

    def close(self) -> None:
        """Nothing runs between cases."""

    def _record(self, command: list[str]) -> dict[str, Any]:
        (line,) = (line for line in self._output(command).splitlines() if line.startswith("{"))
        record: dict[str, Any] = json.loads(line)
        return record

    def _output(self, command: list[str]) -> str:
        whole = [str(self._tools / command[0]), "-m", str(self._model), "-t", self._threads, *command[1:]]
        with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(whole)} failed: {process.returncode}\n{output}")
        self.peak_bytes = max(self.peak_bytes, 1024 * usage.ru_maxrss)
        return output
