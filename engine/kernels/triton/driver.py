"""Triton's driver, which launches kernels: C that Triton compiles when it first meets a GPU, and keeps beside them."""

from subprocess import SubprocessError

from triton.runtime import driver


class CannotLaunchError(ImportError):
    """Why no kernel can be launched."""


def start_driver() -> None:
    """Compiles and loads it now: a first launch would, but not before the weights are loaded. Raises
    CannotLaunchError."""
    try:
        driver.active.get_current_target()
    except (AssertionError, ImportError, OSError, RuntimeError, SubprocessError) as error:
        raise CannotLaunchError(
            "its launcher cannot be compiled or loaded (install gcc and python3-dev; TRITON_CACHE_DIR names the "
            f"directory that it is kept in): {type(error).__name__}: {error}"
        ) from error
