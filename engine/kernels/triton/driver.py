"""Triton's driver, which launches kernels: C that Triton compiles when it first meets a GPU, and keeps beside them.
Triton 3.6 compiles some for every kind of a kernel's arguments, too."""

from subprocess import SubprocessError

import triton
from triton.errors import TritonError
from triton.runtime import driver


class CannotLaunchError(ImportError):
    """Why no kernel can be launched."""


@triton.jit
def nothing(number):
    """Of an integer: that it is launched is all."""


def start_driver() -> None:
    """Compiles and loads it now, and launches a kernel: a first launch would, but not before the weights are loaded.
    Raises CannotLaunchError."""
    try:
        driver.active.get_current_target()
        nothing[(1,)](0)
    except (AssertionError, ImportError, OSError, RuntimeError, SubprocessError, TritonError) as error:
        raise CannotLaunchError(
            "its launcher cannot be compiled or loaded (install gcc and python3-dev; TRITON_CACHE_DIR names the "
            f"directory that it is kept in): {type(error).__name__}: {error}"
        ) from error
