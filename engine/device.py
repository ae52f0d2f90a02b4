"""Which device the engine runs on, and how much memory is free there."""

import psutil
import torch

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
        raise ConfigError(f"--device {name}: {torch.cuda.device_count()} GPUs are visible to torch {torch.__version__}")
    return device


def free_unused(device: torch.device) -> None:
    """Gives back what torch keeps of freed tensors: the caches that come next have other sizes."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Memory that can be taken on `device` now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    return psutil.virtual_memory().available
