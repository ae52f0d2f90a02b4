"""Every kernel of a model's engine compiled, before anything is timed: an engine of the same shape but few layers is
started, which runs each. Triton keeps what it compiles for the processes after this one."""

from dataclasses import replace
from time import perf_counter

import torch

from benchmarks.gpu_engine import start
from benchmarks.gpu_workloads import Workload
from benchmarks.isolated import Record

CACHE_BYTES = 4 * 2**30
"""So that several fit beside one another. The longest request takes 0.3 GB of two layers."""


def measure(workload: Workload, device: torch.device) -> Record:
    """How long it took. Raises what a start raises."""
    began = perf_counter()
    few = replace(workload.model, layer_types=workload.model.layer_types[:2])
    start(replace(workload, model=few), device, cache_bytes=CACHE_BYTES)
    return {"seconds": perf_counter() - began}
