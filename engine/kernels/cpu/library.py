"""The C++ ops as Python calls them: by ctypes, with the addresses of tensors.

The library runs on torch's own OpenMP threads: torch is loaded first and brings the runtime that both ask for.
"""

import ctypes
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.kernels.cpu.build import (
    CannotBuildError,
    Level,
    build_library,
    find_compiler,
    private_directory,
    usable_levels,
)

logger = logging.getLogger(__name__)

SIGNATURES = {
    "embed": "ppp ll",
    "cos_sin": "ppf pp ll",
    "linear_bf16": "ppf pppp lll",
    "linear_fp8": "ppf ppppp lll",
    "route": "ppf ppppp llll",
    "experts_mxfp4": "ppp pppppp ff pp lllll",
    "experts_bf16": "ppp pppp ff pp lllll",
    "ring_attention": "ppp lll pppppp llll ppl pl",
    "paged_attention": "ppp lll pppppp llll ppl pll",
    "widen": "pp l",
    "choose": "ppllp ll",
    "order_mxfp4": "p ll",
}
"""The functions of kernels.cpp, in the order of its `carousel_replay`. p: the address of a tensor, or none; f: a float;
l: a whole number. The number of threads comes first in all of them."""
OPENMP = re.compile(r"/lib[gi]?omp[^/]*\.so[^/]*$")
TYPES = {"p": ctypes.c_void_p, "f": ctypes.c_float, "l": ctypes.c_long}


class CannotLoadError(CannotBuildError):
    """It is compiled, and this process can load no library."""


class Written(threading.local):
    """While `calls` is a list, this thread's calls are only written down there, by name and arguments."""

    calls: list[tuple[str, tuple[Any, ...]]] | None = None


class Library:
    """The functions of one compiled library; each takes tensors, None and numbers, and runs on torch's threads, unless
    it is `written`. Raises MemoryError where there is none for what its threads share on the way."""

    def __init__(self, path: Path) -> None:
        functions = ctypes.CDLL(str(path))
        self.written = Written()
        self.embed = self._bind(functions, "embed")
        self.cos_sin = self._bind(functions, "cos_sin")
        self.linear_bf16 = self._bind(functions, "linear_bf16")
        self.linear_fp8 = self._bind(functions, "linear_fp8")
        self.route = self._bind(functions, "route")
        self.experts_mxfp4 = self._bind(functions, "experts_mxfp4")
        self.experts_bf16 = self._bind(functions, "experts_bf16")
        self.ring_attention = self._bind(functions, "ring_attention")
        self.paged_attention = self._bind(functions, "paged_attention")
        self.widen = self._bind(functions, "widen")
        self.choose = self._bind(functions, "choose")
        self.order_mxfp4 = self._bind(functions, "order_mxfp4")
        self._replay = functions.carousel_replay
        self._replay.restype = ctypes.c_bool
        self._replay.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_long]

    def _bind(self, functions: ctypes.CDLL, name: str) -> Callable[..., None]:
        function = getattr(functions, f"carousel_{name}")
        function.restype = ctypes.c_bool
        function.argtypes = [ctypes.c_int] + [TYPES[letter] for letter in letters(name)]

        def call(*arguments: Any) -> None:
            if (calls := self.written.calls) is not None:
                calls.append((name, arguments))
            elif not function(torch.get_num_threads(), *addressed(arguments)):
                raise MemoryError(f"there is no memory for what {name} makes on the way")

        return call

    def replay(self, calls: ctypes.Array[Any]) -> None:
        """Makes calls that were written down as `engine.kernels.cpu.recording` does. Raises MemoryError as they do."""
        if not self._replay(torch.get_num_threads(), ctypes.addressof(calls), len(calls)):
            raise MemoryError("there is no memory for what a step makes on the way")


def letters(name: str) -> str:
    """A function's arguments, one letter each."""
    return SIGNATURES[name].replace(" ", "")


def addressed(arguments: tuple[Any, ...]) -> list[Any]:
    """The arguments with addresses in the place of tensors."""
    return [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]


@cache
def load_best(directory: Path) -> Library:
    """The library for the fastest level that it can be had for; the log says which were left out. Raises
    CannotBuildError."""
    skipped: dict[str, list[str]] = {}
    for level in usable_levels():
        try:
            library = load(level, directory)
        except CannotLoadError:
            raise
        except CannotBuildError as error:
            skipped.setdefault(str(error), []).append(level.name)
            continue
        for reason, names in skipped.items():
            logger.warning("the C++ ops run as for %s, slower than for %s: %s", level.name, ", ".join(names), reason)
        if len(runtimes := openmp_runtimes()) > 1:
            logger.warning("the C++ ops have other threads than torch, slower: OpenMP is %s", " and ".join(runtimes))
        return library
    raise CannotBuildError("; ".join(skipped))


def openmp_runtimes() -> list[str]:
    """The files of the OpenMP runtimes that this process has loaded, where Linux tells."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    return sorted({path for line in lines if OPENMP.search(path := line.partition("/")[2])})


@cache
def load(level: Level, directory: Path) -> Library:
    """The library for a level, compiled if `directory` has none that can be loaded. From where nothing may be executed
    it is taken to a directory of this process's own. Raises CannotBuildError."""
    path = directory / level.file_name
    try:
        return Library(path)
    except OSError as error:
        if os.path.exists(path):  # Path.exists raises where the directory may not be looked into.
            if find_compiler() is None:
                with suppress(CannotLoadError):
                    return load_elsewhere(path, error)
            logger.warning("%s is compiled anew, for it cannot be loaded: %s", path, error)
    path = build_library(level, directory)
    try:
        return Library(path)
    except OSError as error:
        return load_elsewhere(path, error)


def load_elsewhere(path: Path, error: OSError) -> Library:
    """A copy, from where this process may execute files. Raises CannotLoadError."""
    reason = f"{path} cannot be loaded: {error}"
    own = private_directory(reason) / path.name
    try:
        if own != path:
            shutil.copy(path, own)
        return Library(own)
    except OSError as error:
        raise CannotLoadError(f"{reason}; nor can {own}: {error}") from error
