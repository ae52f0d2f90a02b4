"""Which device the engine runs on, and how much memory is free there."""

import os

import psutil
import torch

from engine import cgroup
from engine.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """ "auto" is the first GPU if there is one, else the CPU. Raises ConfigError for a device that is not there."""
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
    """Has the calling thread work on this GPU, if it is one: Triton launches on the current one, whatever GPU its
    tensors are on."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def why_no_gpu() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA: install a build with it, see https://pytorch.org"
    seen = torch.cuda.device_count()
    return (
        f"torch {torch.__version__} sees {seen} GPUs: check nvidia-smi and CUDA_VISIBLE_DEVICES, and in a container "
        f"that it was given them (docker run --gpus all)"
    )


def use_huge_pages() -> None:
    """Has torch ask Linux for pages of 2 MiB under large tensors, unless the environment says otherwise: a CPU reads
    weights some 10% faster from them. Torch looks at this when it first allocates one."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_to_quota() -> None:
    """Has torch start no more threads than a container's CPU quota keeps busy: others would wait, in every op, for
    those whose turn has not come. What OMP_NUM_THREADS says stands."""
    cores = cgroup.cores()
    if cores is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), cores))


def free_bytes(device: torch.device) -> int:
    """Memory that can be taken on `device` now: of the CPU's, what the machine has and a container may have."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    there, allowed = psutil.virtual_memory().available, cgroup.free_bytes()
    return there if allowed is None else min(there, allowed)


def total_bytes(device: torch.device) -> int:
    """The memory of `device`, whoever holds it."""
    if device.type == "cuda":
        _, total = torch.cuda.mem_get_info(device)
        return total
    return psutil.virtual_memory().total


def bytes_per_second(device: torch.device) -> float | None:
    """What a GPU's memory gives at best, by its clock (in kHz, two transfers a cycle) and width (in bits); None for the
    CPU's, which does not tell."""
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return 2 * properties.memory_clock_rate * 1000 * properties.memory_bus_width / 8
