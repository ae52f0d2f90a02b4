"""Compiling the ops, and what happens where they cannot be compiled."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.kernels.cpu import build
from engine.kernels.table import REFERENCE, select_ops

CPU = torch.device("cpu")


def test_every_level_compiles_without_a_warning(level: build.Level, tmp_path: Path) -> None:
    source = str(build.SOURCES / "kernels.cpp")
    compiler = build.find_compiler()
    assert compiler is not None
    command = [*compiler.split(), *build.FLAGS, *level.flags, "-Werror", "-fsyntax-only", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_best_level_is_the_first_that_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "levels", lambda: (build.AMX, build.AVX512, build.AVX2, build.PLAIN))
    monkeypatch.setattr(build, "tiles_allowed", lambda: True)
    for features, best in (
        (build.AMX.features | {"avx2"}, build.AMX),
        (build.AVX512.features | {"avx2"}, build.AVX512),
        (frozenset({"avx2", "fma", "avx512f"}), build.AVX2),
        (frozenset({"sse2"}), build.PLAIN),
        (frozenset(), build.PLAIN),
    ):
        monkeypatch.setattr(build, "cpu_features", lambda features=features: features)
        assert build.best_level() == best


def test_tiles_that_linux_does_not_give_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "levels", lambda: (build.AMX, build.AVX512, build.AVX2, build.PLAIN))
    monkeypatch.setattr(build, "cpu_features", lambda: build.AMX.features | build.AVX2.features)
    for allowed, best in ((True, build.AMX), (False, build.AVX512)):
        monkeypatch.setattr(build, "tiles_allowed", lambda allowed=allowed: allowed)
        assert build.best_level() == best


def test_a_library_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "compile_library", lambda level, path: path.touch())
    path = build.library_path(build.PLAIN, tmp_path)
    monkeypatch.delattr(build, "compile_library")
    assert build.library_path(build.PLAIN, tmp_path) == path


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/nowhere/c++", "could not be run"),
        (f"{sys.executable} /nowhere.py", "failed"),
        (None, "there is no C++ compiler"),
    ],
)
def test_without_a_compiler_the_references_run_and_the_log_says_so_once(
    compiler: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", str(tmp_path))
    if compiler is None:
        monkeypatch.delenv("CXX", raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        monkeypatch.setenv("CXX", compiler)
    with caplog.at_level(logging.WARNING):
        assert select_ops(CPU, torch.bfloat16, torch.bfloat16) is REFERENCE
    assert len(caplog.records) == 1
    assert reason in caplog.text


def test_a_library_that_cannot_be_loaded_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", str(tmp_path))
    (tmp_path / build.best_level().file_name).write_bytes(b"no library")
    assert select_ops(CPU, torch.bfloat16, torch.bfloat16) is REFERENCE
    assert "cannot be loaded" in caplog.text


def test_ahead_of_time(tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": f"{sys.executable} {tmp_path / 'compiler.py'}"}
    (tmp_path / "compiler.py").write_text("import sys; open(sys.argv[sys.argv.index('-o') + 1], 'w').close()")
    command = [sys.executable, "-m", "engine.kernels.cpu.build", str(tmp_path / "kernels")]
    subprocess.run(command, check=True, env=environment)
    made = {path.name for path in (tmp_path / "kernels").iterdir()}
    assert made == {level.file_name for level in build.levels()}
