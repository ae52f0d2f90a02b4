"""Compiles every kernel of a model's engine before anything is timed: starts an engine of the same shape with few
layers, which runs each kernel. Triton keeps what it compiles for later processes."""

from dataclasses import replace
from time import perf_counter

import torch

from benchmarks.gpu_engine import start
from benchmarks.gpu_workloads import Workload
from benchmarks.isolated import Record

CACHE_BYTES = 4 * 2**30
"""Small enough that several engines fit. The longest request takes 0.3 GB of two layers."""


def measure(workload: Workload, device: torch.device) -> Record:
    """Starts the engine and returns the seconds that it took. Raises what a start raises."""
    began = perf_counter()
    few = replace(workload.model, layer_types=workload.model.layer_types[:2])
    start(replace(workload, model=few), device, cache_bytes=CACHE_BYTES)
    return {"seconds": perf_counter() - began}
