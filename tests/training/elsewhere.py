"""An imaginary device: its tensors claim to be on another device, and are computed here.

An op on tensors of two devices fails as it does on a GPU. The device's name is `meta`, which torch lets tensors claim
without a device.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

ELSEWHERE = torch.device("meta")
MOVES = ("aten::_to_copy", "aten::copy_")
TO_THE_HOST = "aten::_local_scalar_dense"


class Absent(Tensor):
    """`here` holds the tensor's numbers."""

    here: Tensor
    is_meta = False

    @staticmethod
    def __new__(cls, here: Tensor) -> "Absent":
        absent: Absent = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.size(), here.stride(), here.storage_offset(), dtype=here.dtype, device=ELSEWHERE
        )
        absent.here = here
        return absent

    def tolist(self) -> Any:
        """Replaces torch's own method, which is for plain tensors only."""
        return self.here.tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A file contains the numbers, whatever their device."""
        return self.here.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class ElsewhereIsThere(TorchDispatchMode):
    """While it is active, tensors can be made on the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """Runs an op on its tensors' numbers. Raises RuntimeError if they are on two devices, plain numbers aside."""
    name, device = func._schema.name, kwargs.get("device")
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    absent = any(isinstance(each, Absent) for each in tensors)
    if absent and name not in MOVES and any(each.dim() for each in tensors if not isinstance(each, Absent)):
        raise RuntimeError(f"{name}: tensors on two devices")
    args_here, kwargs_here = tree_map_only(Absent, lambda each: each.here, (args, kwargs))
    result = func(*args_here, **(kwargs_here if device is None else kwargs_here | {"device": "cpu"}))
    if torch.Tag.inplace_view in func.tags and isinstance(args[0], Absent):
        with no_dispatch():  # For the shape that the tensor claims.
            func(*args, **kwargs)
    if result is not None and func._schema.is_mutable and name.endswith("_"):
        return args[0]
    stays = absent if device is None else torch.device(device) == ELSEWHERE
    return tree_map_only(Tensor, Absent, result) if stays and name != TO_THE_HOST else result
