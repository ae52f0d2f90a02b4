"""Between host and device, without either waiting for the other."""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(host: Tensor, device: torch.device) -> Tensor:
    """A copy on the device, in the order of its stream; the host goes on at once. A GPU copies from pinned memory,
    which torch keeps until it was read. On the CPU it is the tensor itself."""
    if device.type == "cuda":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def numbers_to_device(numbers: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The same of plain numbers. (`torch.tensor` with a device waits until all that was launched there is done.)"""
    return to_device(torch.tensor(numbers, dtype=dtype), device)
