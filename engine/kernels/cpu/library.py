"""The C++ ops as Python calls them: by ctypes, with the addresses of tensors.

The library runs on torch's own OpenMP threads: torch is loaded first and brings the runtime that both ask for.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.kernels.cpu.build import CannotBuildError, Level, library_path

SIGNATURES = {
    "linear_bf16": "ppf pppp lll",
    "linear_fp8": "ppf ppppp lll",
    "route": "ppf ppppp llll",
    "experts_mxfp4": "ppp pppppp ff pp lllll",
    "experts_bf16": "ppp pppp ff pp lllll",
    "ring_attention": "ppp lll pppppp lll ppl pl",
    "paged_attention": "ppp lll pppppp lll ppl pll",
}
"""The functions of kernels.cpp. p: the address of a tensor, or none; f: a float; l: a whole number. The number of
threads comes last in all of them."""
TYPES = {"p": ctypes.c_void_p, "f": ctypes.c_float, "l": ctypes.c_long}


class Library:
    """The functions of one compiled library; each takes tensors, None and numbers, and runs on torch's threads."""

    def __init__(self, path: Path) -> None:
        functions = ctypes.CDLL(str(path))
        self.linear_bf16 = bind(functions, "linear_bf16")
        self.linear_fp8 = bind(functions, "linear_fp8")
        self.route = bind(functions, "route")
        self.experts_mxfp4 = bind(functions, "experts_mxfp4")
        self.experts_bf16 = bind(functions, "experts_bf16")
        self.ring_attention = bind(functions, "ring_attention")
        self.paged_attention = bind(functions, "paged_attention")


def bind(functions: ctypes.CDLL, name: str) -> Callable[..., None]:
    function = getattr(functions, f"carousel_{name}")
    function.restype = None
    function.argtypes = [TYPES[letter] for letter in SIGNATURES[name].replace(" ", "")] + [ctypes.c_int]

    def call(*arguments: Any) -> None:
        addressed = [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]
        function(*addressed, torch.get_num_threads())

    return call


@cache
def load(level: Level, directory: Path) -> Library:
    """The library for a level, compiled if `directory` has none. Raises CannotBuildError."""
    path = library_path(level, directory)
    try:
        return Library(path)
    except OSError as error:
        raise CannotBuildError(f"{path} cannot be loaded: {error}") from error
