"""Which device the engine runs on, and how much memory is free there."""

import os

import psutil
import torch

from engine import cgroup
from engine.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """ "auto" is the first GPU if there is one, else the CPU. Raises ConfigError for a device that does not exist."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name}: {str(error).splitlines()[0]}") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name}: only cpu and cuda are supported")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"--device {name}: {why_no_gpu()}")
    return device


def make_current(device: torch.device) -> None:
    """Makes this GPU, if it is one, current in the calling thread: Triton launches on the current GPU, whichever one
    its tensors are on."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def why_no_gpu() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA: install a build with it, see https://pytorch.org"
    seen = torch.cuda.device_count()
    return (
        f"torch {torch.__version__} sees {seen} GPUs: check nvidia-smi and CUDA_VISIBLE_DEVICES, and in a container "
        f"that it was started with them (docker run --gpus all)"
    )


def use_huge_pages() -> None:
    """Makes torch ask Linux for pages of 2 MiB under large tensors, unless the environment says otherwise: a CPU reads
    weights some 10% faster from them. Torch reads the variable when it first allocates a large tensor."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_to_quota() -> None:
    """Limits torch to the threads that a container's CPU quota keeps busy: with more, every op would wait for threads
    that are throttled. OMP_NUM_THREADS takes precedence."""
    cores = cgroup.cores()
    if cores is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), cores))


def free_bytes(device: torch.device) -> int:
    """Bytes that can be allocated on `device` now; on a CPU, what the machine has free and a container may use."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    there, allowed = psutil.virtual_memory().available, cgroup.free_bytes()
    return there if allowed is None else min(there, allowed)


def total_bytes(device: torch.device) -> int:
    """Bytes of memory on `device`, free or not."""
    if device.type == "cuda":
        _, total = torch.cuda.mem_get_info(device)
        return total
    return psutil.virtual_memory().total


def bytes_per_second(device: torch.device) -> float | None:
    """A GPU's peak memory bandwidth, from its clock (in kHz, two transfers a cycle) and width (in bits); None for a
    CPU, which does not report it."""
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return 2 * properties.memory_clock_rate * 1000 * properties.memory_bus_width / 8
