"""Compiles the C++ ops: once, on first use, or ahead for a machine that has no compiler.

A library is compiled for one level of processor and kept under a name made of its sources and flags, so that it is
found again as long as these are the same, also where there is another compiler, or none. `python -m
engine.kernels.cpu.build DIRECTORY` compiles every level there is for this kind of machine and that the compiler knows;
CAROUSEL_KERNEL_CACHE names the directory to a server.
"""

import atexit
import ctypes
import hashlib
import logging
import os
import platform
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent / "source"
SUFFIXES = frozenset({".h", ".cpp"})
FLAGS = (
    "-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-fopenmp",
    "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Wno-psabi", "-Wno-maybe-uninitialized",
)  # fmt: skip
COMPILERS = ("g++", "c++", "clang++")
"""GCC first: its OpenMP is the one that torch brings."""
ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18
"""A system call of x86-64 and what it is asked for, by the numbers of Linux's arch/x86/include/uapi/asm/prctl.h."""
SECONDS = 300
"""A compiler takes about ten; one that takes this long is stuck."""


class CannotBuildError(ImportError):
    """Why there is no library."""


class CannotWriteError(CannotBuildError):
    """It cannot be kept where it should be."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a processor must have, by the names in /proc/cpuinfo, and the compiler's flags for it."""

    name: str
    features: frozenset[str]
    flags: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The library's name: another one after any change of sources or flags, and on another kind of machine."""
        digest = hashlib.sha256(" ".join((platform.machine(), *FLAGS, *self.flags)).encode())
        for path in sorted(path for path in SOURCES.iterdir() if path.suffix in SUFFIXES and path.is_file()):
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
    allowed = bool(system_call(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0)
    if not allowed:
        logger.warning("AMX is not used, which this processor has: Linux says %s", os.strerror(ctypes.get_errno()))
    return allowed


def usable_levels() -> tuple[Level, ...]:
    """The levels that this processor has and Linux lets be used, the fastest first."""
    features = cpu_features()
    if features >= AMX.features and not tiles_allowed():
        features = AVX512.features | AVX2.features
    return tuple(level for level in levels() if level.features <= features)


def cache_directory() -> Path:
    """Where compiled libraries are kept, which is made if need be, for this user alone. Raises CannotBuildError where
    that is nowhere."""
    named = os.environ.get("CAROUSEL_KERNEL_CACHE")
    try:
        directory = Path(named).absolute() if named else Path.home() / ".cache" / "carousel" / "kernels"
    except RuntimeError:
        return private_directory("there is no home directory")
    with suppress(OSError):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    reason = distrusted(directory)
    return directory if reason is None else private_directory(reason)


def distrusted(directory: Path) -> str | None:
    """Why a library in it may be another user's code; None if it is for this user or root alone to write, or not
    there."""
    try:
        found = directory.stat()
    except OSError:
        return None
    if found.st_uid not in (0, os.geteuid()):
        return f"{directory} belongs to another user"
    return f"{directory} can be written by every user" if found.st_mode & stat.S_IWOTH else None


@cache
def private_directory(reason: str) -> Path:
    """A directory that ends with this process; the log says why. Raises CannotBuildError."""
    try:
        directory = Path(tempfile.mkdtemp(prefix="carousel-kernels-"))
    except OSError as error:
        raise CannotBuildError(f"{reason}, and no temporary directory can be made: {error}") from error
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    logger.warning("the C++ ops are put into a new place at each start: %s (set CAROUSEL_KERNEL_CACHE)", reason)
    return directory


def find_compiler() -> str | None:
    """The C++ compiler's command: CXX, or the first that is there."""
    return os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)


def must_compile() -> bool:
    """Whether there is a compiler, and nothing yet that it made for this kind of machine."""
    try:
        directory = cache_directory()
    except CannotBuildError:
        return False
    return find_compiler() is not None and not any(os.path.exists(directory / level.file_name) for level in levels())


def build_library(level: Level, directory: Path) -> Path:
    """Compiles as `compile_library` does, for this process alone where `directory` cannot be written."""
    try:
        return compile_library(level, directory)
    except CannotWriteError as reason:
        return compile_library(level, private_directory(str(reason)))


def compile_library(level: Level, directory: Path) -> Path:
    """The library for `level`, compiled into `directory`, over one that is there. Raises CannotBuildError."""
    compiler = find_compiler()
    if compiler is None:
        raise CannotBuildError("there is no C++ compiler (install g++)")
    if not writable(directory):
        raise CannotWriteError(f"{directory} cannot be written")
    name = level.file_name
    path = directory / name
    # Another process may compile the same: each into a file of its own, and the last one takes the place. The linker
    # makes it, at the end: before, an interruption leaves nothing.
    made = path.with_name(f"{path.stem}-{secrets.token_hex(8)}.part")
    command = [*compiler.split(), *FLAGS, *level.flags, "-o", str(made), str(SOURCES / "kernels.cpp")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
        if done.returncode:
            raise CannotBuildError(f"{compiler} failed: {done.stderr.strip()[:500]}")
        if level.file_name != name:
            raise CannotBuildError(f"{SOURCES} changed meanwhile")
        made.replace(path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuildError(f"{compiler} could not be run: {error}") from error
    finally:
        made.unlink(missing_ok=True)
    return path


def writable(directory: Path) -> bool:
    """Whether files can be made in `directory`, which is made itself if need be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def main(directory: Path) -> int:
    """Compiles into `directory` every level that the compiler knows. The exit status is 1 if it knows none."""
    made = 0
    for level in levels():
        try:
            print(compile_library(level, directory))
            made += 1
        except CannotBuildError as reason:
            print(f"{level.name} cannot be built: {reason}", file=sys.stderr)
    return 0 if made else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
