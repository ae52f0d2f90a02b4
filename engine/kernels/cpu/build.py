"""Compiles the C++ ops: once, on first use, or ahead for a machine that has no compiler.

A library is compiled for one level of processor and kept under a name made of its sources and flags, so that it is
found again as long as these are the same. `python -m engine.kernels.cpu.build DIRECTORY` compiles every level there is
for this kind of machine; CAROUSEL_KERNEL_CACHE names the directory to a server.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "source"
FLAGS = (
    "-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-fopenmp",
    "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Wno-psabi", "-Wno-maybe-uninitialized",
)  # fmt: skip
COMPILERS = ("c++", "g++", "clang++")
ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18
"""A system call of x86-64 and what it is asked for, by the numbers of Linux's arch/x86/include/uapi/asm/prctl.h."""
SECONDS = 300
"""A compiler takes about ten; one that takes this long is stuck."""


class CannotBuildError(ImportError):
    """Why there is no library."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a processor must have, by the names in /proc/cpuinfo, and the compiler's flags for it."""

    name: str
    features: frozenset[str]
    flags: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The library's name: another one after any change of sources or flags."""
        digest = hashlib.sha256(" ".join((*FLAGS, *self.flags)).encode())
        for path in sorted(SOURCES.iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        return f"kernels-{self.name}-{digest.hexdigest()[:16]}.so"


AVX512 = Level(
    "avx512",
    frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vbmi", "avx512_bf16", "fma"}),
    ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vbmi", "-mavx512bf16", "-mfma"),
)
AMX = Level("amx", AVX512.features | {"amx_tile", "amx_bf16"}, (*AVX512.flags, "-mamx-tile", "-mamx-bf16"))
AVX2 = Level("avx2", frozenset({"avx2", "fma"}), ("-mavx2", "-mfma"))
PLAIN = Level("plain", frozenset(), ())


def levels() -> tuple[Level, ...]:
    """The levels of this kind of machine, the fastest first; the last one runs on all of them."""
    return (AMX, AVX512, AVX2, PLAIN) if platform.machine() in ("x86_64", "AMD64") else (PLAIN,)


def cpu_features() -> frozenset[str]:
    """What this processor has, as Linux lists it; nothing where that is not told."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def tiles_allowed() -> bool:
    """Asks Linux for AMX's tiles, which a process may use only then, in all of its threads."""
    system_call = ctypes.CDLL(None, use_errno=True).syscall
    return bool(system_call(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0)


def usable_levels() -> tuple[Level, ...]:
    """The levels that this processor has and Linux lets be used, the fastest first."""
    features = cpu_features()
    if features >= AMX.features and not tiles_allowed():
        features = AVX512.features | AVX2.features
    return tuple(level for level in levels() if level.features <= features)


def best_level() -> Level:
    """The fastest of them."""
    return usable_levels()[0]


def cache_directory() -> Path:
    """Where compiled libraries are kept."""
    named = os.environ.get("CAROUSEL_KERNEL_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "carousel" / "kernels"


def library_path(level: Level, directory: Path) -> Path:
    """The library for `level` in `directory`, compiled now if it is not there. Raises CannotBuildError."""
    path = directory / level.file_name
    if not path.exists():
        compile_library(level, path)
    return path


def find_compiler() -> str | None:
    """The C++ compiler's command: CXX, or the first that is there."""
    return os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)


def compile_library(level: Level, path: Path) -> None:
    compiler = find_compiler()
    if compiler is None:
        raise CannotBuildError("there is no C++ compiler (install g++)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may compile the same: each into a file of its own, and the last one takes the place.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            command = [*compiler.split(), *FLAGS, *level.flags, "-o", str(made), str(SOURCES / "kernels.cpp")]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            if done.returncode:
                raise CannotBuildError(f"{compiler} failed: {done.stderr.strip()[:500]}")
            made.replace(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuildError(f"{compiler} could not be run: {error}") from error


def main(directory: Path) -> None:
    """Compiles every level into `directory`."""
    for level in levels():
        print(library_path(level, directory))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
