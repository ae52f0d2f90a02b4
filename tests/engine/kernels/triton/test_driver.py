"""What Triton compiles when it first meets a GPU, with a driver that needs none; the compiler is the machine's own."""

import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest
from triton.backends import backends
from triton.runtime import driver
from triton.runtime.build import compile_module_from_src

from engine.kernels.triton import driver as ours
from engine.kernels.triton.driver import CannotLaunchError, start_driver
from tests.engine.kernels.triton.ahead import Kernel, compile_ahead

SOURCE = """
#include <Python.h>
static PyObject *target(PyObject *self, PyObject *arguments) { return PyLong_FromLong(90); }
static PyMethodDef methods[] = {{"target", target, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "launcher", NULL, -1, methods};
PyMODINIT_FUNC PyInit_launcher(void) { return PyModule_Create(&module); }
"""


class Driver:
    @staticmethod
    def is_active() -> bool:
        return True

    def __init__(self) -> None:
        self.get_current_target = compile_module_from_src(SOURCE, "launcher").target


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if there were one, which Triton meets for the first time."""
    monkeypatch.setitem(backends, "nvidia", SimpleNamespace(driver=Driver))
    monkeypatch.delitem(backends, "amd", raising=False)
    for attribute in ("_default", "_active"):
        monkeypatch.setattr(driver, attribute, None)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    monkeypatch.delenv("CC", raising=False)


def has_headers() -> bool:
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()


@pytest.mark.skipif(shutil.which("gcc") is None or not has_headers(), reason="needs gcc and Python's headers")
def test_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_driver()
    assert list(tmp_path.rglob("launcher*.so"))
    monkeypatch.setenv("PATH", str(tmp_path))
    for attribute in ("_default", "_active"):
        monkeypatch.setattr(driver, attribute, None)
    start_driver()


@pytest.mark.skipif(shutil.which("gcc") is None or not has_headers(), reason="needs gcc and Python's headers")
def test_a_kernel_is_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's own part is there from before, but no compiler, which 3.6 needs for what launches the kernel."""
    start_driver()

    def launch(number: int) -> None:
        compile_module_from_src(f"{SOURCE}// {number}", "launcher")

    monkeypatch.setattr(ours, "nothing", {(1,): launch})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotLaunchError, match="Failed to find C compiler"):
        start_driver()


def test_the_kernel_that_is_launched_compiles() -> None:
    (binary,) = compile_ahead([Kernel("engine.kernels.triton.driver:nothing", {"number": "i32"}, {})])
    assert binary.count("EXIT") == 1


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotLaunchError, match=r"install gcc and python3-dev.*Failed to find C compiler"):
        start_driver()


@pytest.mark.parametrize(
    ("compiler", "error"), [("false", "CalledProcessError"), ("no-such-compiler", "FileNotFoundError")]
)
def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, compiler: str, error: str) -> None:
    """As gcc does without Python's headers."""
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(CannotLaunchError, match=error):
        start_driver()


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "file" / "triton"))
    with pytest.raises(CannotLaunchError, match=r"TRITON_CACHE_DIR.*NotADirectoryError"):
        start_driver()
