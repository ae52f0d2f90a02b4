"""What others make of the same shape on the same GPU: transformers in bfloat16, and llama.cpp's CUDA build."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.gpu_workloads import Workload, config_json
from benchmarks.isolated import Record, printed_by

WRITTEN = 16
"""Tokens that a peer writes for each request."""
BUILD, LOG = "build-cuda", "build.log"
TOOL = "llama-batched-bench"
CMAKE_OPTIONS = "-DGGML_CUDA=ON", "-DLLAMA_CURL=OFF", "-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_BUILD_TESTS=OFF"


@torch.inference_mode()
def transformers(workload: Workload, device: torch.device, seconds: float) -> Iterator[Record]:
    """Random weights in bfloat16, experts too: 42 GB for 20b. Decoding after a prompt, then a prompt alone."""
    from transformers import DynamicCache, GptOssConfig, GptOssForCausalLM

    began = perf_counter()
    if device.type == "cuda" and (needed := resident_bytes(workload)) > torch.cuda.mem_get_info()[0]:
        yield {"what": "start", "left_out": f"{needed / 2**30:.0f} GiB of bfloat16 weights do not fit"}
        return
    config = GptOssConfig(**config_json(workload.model))
    torch.set_default_dtype(torch.bfloat16 if workload.dtype == "bfloat16" else torch.float32)
    with device:
        model: Any = GptOssForCausalLM(config)
    model.eval()
    torch.set_default_dtype(torch.float32)
    yield {"what": "start", "seconds": perf_counter() - began}

    def run(tokens: torch.Tensor, cache: Any) -> torch.Tensor:
        logits = model(tokens, past_key_values=cache, logits_to_keep=1).logits
        best: torch.Tensor = logits[:, -1].argmax(dim=-1, keepdim=True)
        return best

    def prompt(rows: int, length: int) -> torch.Tensor:
        return torch.randint(workload.model.vocab_size, (rows, length), device=device)

    for batch in workload.peer_batches:
        cache = DynamicCache(config=config)
        for row_tokens in prompt(batch, workload.peer_context).split(512, dim=1):
            last = run(row_tokens, cache)
        last.tolist()
        times = []
        for _ in range(WRITTEN):
            step = perf_counter()
            last = run(last, cache)
            last.tolist()
            times.append(perf_counter() - step)
        middle = sorted(times)[len(times) // 2]
        yield {
            "what": "decode",
            "requests": batch,
            "context": workload.peer_context,
            "seconds": middle,
            "tokens_per_second": batch / middle,
        }
        if perf_counter() - began > seconds:
            yield {"what": "decode", "left_out": f"what follows: {seconds:.0f} seconds are over"}
            return
    for _ in range(2):
        step = perf_counter()
        run(prompt(1, workload.peer_prefill), DynamicCache(config=config)).tolist()
        took = perf_counter() - step
    tokens = workload.peer_prefill
    yield {"what": "prefill", "tokens": tokens, "seconds": took, "tokens_per_second": tokens / took}


def resident_bytes(workload: Workload) -> int:
    """Of the weights in bfloat16: the experts' three matrices are nearly all."""
    model = workload.model
    return 2 * 3 * model.num_layers * model.num_experts * model.hidden_size * model.intermediate_size


def llama_cpp(workload: Workload, source: Path | None, seconds: float) -> Iterator[Record]:
    """llama-batched-bench on a checkpoint of the same shape, converted by llama.cpp's own script; `source` is its
    source tree, in which `prepare_llama_cpp` has made what is needed."""
    if source is None:
        yield {"what": "start", "left_out": "no --llama-cpp PATH: its source was not given"}
        return
    tool, model = source / BUILD / "bin" / TOOL, source / BUILD / "shape.gguf"
    for needed in (tool, model):
        if not needed.exists():
            yield {"what": "start", "left_out": f"{needed} is not there: {source / BUILD / LOG} says why"}
            return
    batches = ",".join(map(str, workload.peer_batches))
    context = max(workload.peer_batches) * (workload.peer_context + WRITTEN) + 256
    sizes = "-npp", str(workload.peer_context), "-ntg", str(WRITTEN), "-npl", batches, "-c", str(context)
    command = [str(tool), "-m", str(model), "-ngl", "999", "--output-format", "jsonl", "-pps", *sizes]
    for record in printed_by(command, seconds):
        if "pl" not in record:
            yield {"what": "decode"} | record
            continue
        requests = {"requests": record["pl"], "context": record["pp"]}
        yield {"what": "decode"} | requests | {"tokens_per_second": record["speed_tg"]}
        yield {"what": "prefill", "tokens": record["pp"], "tokens_per_second": record["speed_pp"]}


def prepare_llama_cpp(source: Path) -> subprocess.Popen[bytes]:
    """Begins to build the tool and to make a model for it, unless they are there, beside what is measured meanwhile: on
    most cores, but behind everyone."""
    build, jobs = source / BUILD, max(1, (os.cpu_count() or 2) - 4)
    tool, checkpoint, model = build / "bin" / TOOL, build / "checkpoint", build / "shape.gguf"
    build.mkdir(exist_ok=True)
    python = shlex.quote(sys.executable)
    converting = f"{source} {checkpoint} --outfile {model}.part --outtype bf16"
    steps = (
        f"test -e {tool} || cmake -S {source} -B {build} {' '.join(CMAKE_OPTIONS)} -DCMAKE_CUDA_ARCHITECTURES=native",
        f"test -e {tool} || cmake --build {build} --parallel {jobs} --target {TOOL}",
        f"test -e {model} || {python} -m benchmarks.gpu_checkpoint {checkpoint}",
        f"test -e {model} || {python} -m benchmarks.peers.convert {converting}",
        f"test -e {model} || mv {model}.part {model}",
    )
    script = "set -e\n" + "\n".join(steps)
    with (build / LOG).open("wb") as log:
        command = ["nice", "-n", "19", "sh", "-c", script]
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parents[1])
