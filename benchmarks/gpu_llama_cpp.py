"""llama.cpp's CUDA build with the same shape on the same GPU. The build and a checkpoint in its format are made while
other parts are measured."""

import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from signal import SIGKILL
from time import monotonic, sleep

from benchmarks.device import UNKNOWN, nvidia_smi
from benchmarks.gpu_workloads import Workload
from benchmarks.isolated import Record, printed_by

WRITTEN = 128
"""Tokens that llama.cpp writes for each request."""
MEASURING_SECONDS = 45
"""Time kept for measuring, however long the build takes."""
BUILD, TOOL, MODEL = "build-cuda", "llama-batched-bench", "shape.gguf"
LOGS = {TOOL: "build.log", MODEL: "convert.log"}
CMAKE_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_CUDA=ON",
    "-DGGML_CUDA_NCCL=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_APP=OFF",
)
LOG_TAIL = 300
"""Characters of a log that a record quotes."""


def prepare(source: Path) -> list[subprocess.Popen[bytes]]:
    """Begins to build the tool and, beside it, a model for it, unless they exist: on half of the cores and with the
    lowest priority. If neither can begin, `measure` says why."""
    build = source / BUILD
    tool, checkpoint, model = build / "bin" / TOOL, build / "checkpoint", build / MODEL
    if not (source / "CMakeLists.txt").exists():
        return []
    cores, python = half_of_cores(), sys.executable
    unfinished = model.with_suffix(".part")
    options = [*CMAKE_OPTIONS, f"-DCMAKE_CUDA_ARCHITECTURES={architecture(nvidia_smi('compute_cap'))}"]
    conversion = [source, checkpoint, "--outfile", unfinished, "--outtype", "bf16"]
    building = [
        ["cmake", "-S", source, "-B", build, *options],
        ["cmake", "--build", build, "--parallel", len(cores), "--target", TOOL],
    ]
    converting = [
        [python, "-m", "benchmarks.gpu_checkpoint", checkpoint],
        [python, "-m", "benchmarks.peers.convert", *conversion],
        ["mv", unfinished, model],
    ]
    try:
        build.mkdir(exist_ok=True)
        return [
            begin(commands, build / LOGS[made.name], cores)
            for made, commands in ((tool, building), (model, converting))
            if not made.exists()
        ]
    except OSError:
        return []


def architecture(capability: str) -> str:
    """CMake's name of a GPU's machine code: from Hopper on, with the features of that GPU alone.

    >>> [architecture(capability) for capability in ("9.0", "8.6", "unknown")]
    ['90a-real', '86-real', 'native']
    """
    if capability == UNKNOWN:
        return "native"
    major, minor = capability.split(".")
    return f"{major}{minor}{'a' if int(major) >= 9 else ''}-real"


def half_of_cores() -> set[int]:
    cores = sorted(os.sched_getaffinity(0))
    return set(cores[len(cores) // 2 :])


def begin(commands: Sequence[Sequence[object]], log: Path, cores: set[int]) -> subprocess.Popen[bytes]:
    """Starts commands that run one after the other until one fails, in a process group of their own."""
    script = " && ".join(shlex.join(map(str, command)) for command in commands)
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # A process inherits the cores of its parent.
    try:
        with log.open("wb") as output:
            return subprocess.Popen(
                ["nice", "-n", "19", "sh", "-c", script],
                stdout=output,
                stderr=output,
                cwd=Path(__file__).parents[1],
                start_new_session=True,
            )
    finally:
        os.sched_setaffinity(0, ours)


def wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> None:
    """Waits until all are done or one has failed, for at most `seconds`."""
    until = monotonic() + seconds
    while monotonic() < until:
        states = [process.poll() for process in processes]
        if any(states) or None not in states:
            return
        sleep(0.2)


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kills every process that still runs, with its whole process group."""
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, SIGKILL)
            process.wait()


def measure(workload: Workload, source: Path | None, seconds: float) -> Iterator[Record]:
    """Runs llama-batched-bench on a checkpoint of the same shape, converted by llama.cpp's own script. `source` is the
    source tree in which `prepare` has made both. Requests share a prompt of random tokens, which is read once."""
    if source is None:
        yield {"what": "start", "left_out": "no --llama-cpp PATH: its source was not given"}
        return
    build = source / BUILD
    tool, model = build / "bin" / TOOL, build / MODEL
    for needed in (tool, model):
        if not needed.exists():
            yield {"what": "start", "left_out": f"{needed} is not there: {why_not(source, needed)}"}
            return
    yield {"what": "start", "version": version(tool)}
    began, longest = monotonic(), max(workload.peer_prefills)
    room = max(workload.peer_batches) * (workload.peer_context + WRITTEN + 1)
    decoding = [workload.peer_context], twice(workload.peer_batches), WRITTEN, room
    reading = twice(workload.peer_prefills), [1], 1, longest + 2
    for what, share, sizes in ("decode", 0.75, decoding), ("prefill", 1.0, reading):
        left = seconds - (monotonic() - began)
        for record in second_of_each(printed_by(command(tool, model, *sizes), share * left)):
            yield {"what": what} | (figure(what, record) if "pl" in record else record)


def command(tool: Path, model: Path, prompts: list[int], batches: list[int], written: int, room: int) -> list[str]:
    """The command for every prompt with every batch. `room` is the tokens of all requests, which the tool divides
    evenly, so the longest prompt and the largest batch cannot be in one call."""
    numbers = {"-npp": prompts, "-npl": batches, "-ntg": [written], "-c": [room]}
    options = [word for option, each in numbers.items() for word in (option, ",".join(map(str, each)))]
    return [str(tool), "-m", str(model), "-ngl", "999", "-ub", "2048", "--output-format", "jsonl", "-pps", *options]


def twice(sizes: Sequence[int]) -> list[int]:
    """
    >>> twice((1, 8))
    [1, 1, 8, 8]
    """
    return [size for size in sizes for _ in range(2)]


def figure(what: str, record: Record) -> Record:
    """A figure from what the tool prints: `pp` tokens of a prompt, `pl` requests."""
    if what == "prefill":
        return {"tokens": record["pp"], "tokens_per_second": record["speed_pp"]}
    return {"requests": record["pl"], "context": record["pp"], "tokens_per_second": record["speed_tg"]}


def second_of_each(records: Iterator[Record]) -> Iterator[Record]:
    """Drops the first measurement of each size, which warms it up."""
    seen = Counter[tuple[object, object]]()
    for record in records:
        seen[size := (record.get("pp"), record.get("pl"))] += 1
        if "pl" not in record or seen[size] == 2:
            yield record


def version(tool: Path) -> str:
    """The version that the tool reports."""
    done = subprocess.run([tool, "--version"], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line.removeprefix("version:").strip() for line in lines if line.startswith("version:")), UNKNOWN)


def why_not(source: Path, needed: Path) -> str:
    """Why something was not made: the end of its log, which also shows how far the build has come."""
    if not (source / "CMakeLists.txt").exists():
        return f"{source} is not llama.cpp's source"
    try:
        return (source / BUILD / LOGS[needed.name]).read_text(errors="replace")[-LOG_TAIL:].strip()
    except OSError as error:
        return str(error)
