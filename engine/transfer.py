"""Copies between host and device, without either waiting for the other."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray
from torch import Tensor


def to_device(host: Tensor, device: torch.device) -> Tensor:
    """A copy on the device, in stream order; the host continues at once. A GPU copies from pinned memory, which torch
    keeps until it has been read. On the CPU it is the tensor itself."""
    if device.type == "cuda":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


class Arriving:
    """Copies of tensors in flight to the host. A GPU copies to pinned memory, in stream order, and an event marks the
    copies' end, so that later launches are not waited for. On the CPU they are the tensors themselves."""

    def __init__(self, *tensors: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._host = tensors
        if tensors[0].is_cuda:
            self._host = tuple(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in tensors)
            for host, tensor in zip(self._host, tensors, strict=True):
                host.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(tensors[0].device))

    def read(self) -> list[list[Any]]:
        """The tensors as nested lists. Waits until they have arrived."""
        if self._event is not None:
            self._event.synchronize()
        return [tensor.tolist() for tensor in self._host]


def copy_into(place: Tensor, numbers: NDArray[Any]) -> None:
    """Copies an array into a tensor on a device, as `to_device` does."""
    host = torch.from_numpy(numbers)
    place.copy_(host.pin_memory() if place.is_cuda else host, non_blocking=True)


def numbers_to_device(numbers: ArrayLike, dtype: DTypeLike, device: torch.device) -> Tensor:
    """Plain numbers on a device, likewise. (`torch.tensor` with a device waits for everything launched there.)"""
    return to_device(torch.from_numpy(np.array(numbers, dtype)), device)
