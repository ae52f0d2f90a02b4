"""Records a launcher's kernels instead of running them, ready for `compile_ahead`."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import mock

import torch

from tests.engine.kernels.triton.ahead import Kernel

TYPES = {
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.uint8: "*u8",
    torch.float8_e4m3fn: "*fp8e4nv",
}


@dataclass
class Recorder:
    """Stands in for a kernel of Triton's interpreter; `kernel[grid](…)` adds a Kernel to `launches`."""

    kernel: Any
    launches: list[Kernel]

    def __getitem__(self, grid: object) -> "Recorder":
        return self

    def __call__(self, *args: Any, num_warps: int = 4, num_stages: int = 3, **constants: Any) -> None:
        types, aligned = {}, []
        for name, value in zip(self.kernel.arg_names, args, strict=False):
            if value is None:
                constants[name] = None
            elif isinstance(value, torch.Tensor):
                assert value.storage_offset() * value.itemsize % 16 == 0, f"{name} has a variant of its own"
                types[name] = TYPES[value.dtype]
            else:
                types[name] = "fp32" if isinstance(value, float) else "i32"
                if value % 16 == 0 and name not in (self.kernel.kwargs["do_not_specialize"] or ()):
                    aligned.append(name)
        name = f"{self.kernel.fn.__module__}:{self.kernel.fn.__name__}"
        self.launches.append(Kernel(name, types, constants, num_warps, num_stages, aligned=tuple(aligned)))


def record_launches(call: Callable[[], object], *modules: ModuleType) -> list[Kernel]:
    """The launches that `call` makes of kernels in `modules`, in order, with every constant that it chose."""
    launches: list[Kernel] = []
    with ExitStack() as patches:
        for module in modules:
            for name, value in list(vars(module).items()):
                if hasattr(value, "arg_names") and value.fn.__module__ == module.__name__:
                    patches.enter_context(mock.patch.object(module, name, Recorder(value, launches)))
        call()
    return launches
