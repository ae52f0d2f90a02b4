"""Compiling the ops, and what happens where they cannot be compiled."""

import errno
import logging
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.kernels.cpu import build
from engine.kernels.cpu.library import Library, load, load_best, openmp_runtimes
from engine.kernels.table import REFERENCE, compiles_first, select_ops

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
        assert build.usable_levels()[0] == best


def test_tiles_that_linux_does_not_give_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "levels", lambda: (build.AMX, build.AVX512, build.AVX2, build.PLAIN))
    monkeypatch.setattr(build, "cpu_features", lambda: build.AMX.features | build.AVX2.features)
    for allowed, best in ((True, build.AMX), (False, build.AVX512)):
        monkeypatch.setattr(build, "tiles_allowed", lambda allowed=allowed: allowed)
        assert build.usable_levels()[0] == best


class Compiler:
    """Stands in for one: it fails for some options, and gives libraries that were compiled before, or empty ones."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script, self.log = folder / "compiler.py", folder / "compiled"
        self.cache = folder / "kernels"
        monkeypatch.setenv("CXX", f"{sys.executable} {self.script}")
        monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", str(self.cache))
        self.is_given()

    def is_given(self, libraries: Path | None = None, unknown: tuple[str, ...] = ()) -> None:
        self.script.write_text(f"""
import shutil, sys
from pathlib import Path
out = Path(sys.argv[sys.argv.index("-o") + 1])
name = "-".join(out.name.split("-")[:3])
with open({str(self.log)!r}, "a") as log:
    print(name.split("-")[1], file=log)
for option in {unknown}:
    if option in sys.argv:
        out.touch()
        sys.exit(f"unrecognized command line option '{{option}}'")
if {libraries is not None}:
    shutil.copy(Path({str(libraries)!r}) / f"{{name}}.so", out)
else:
    out.touch()
""")

    @property
    def compiled(self) -> list[str]:
        """The levels it was asked for."""
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    return Compiler(tmp_path, monkeypatch)


@pytest.fixture
def compiled() -> Path:
    """Where the real libraries of this processor's two most general levels are."""
    if build.find_compiler() is None:
        pytest.skip("no C++ compiler: here the ops run as plain torch")
    directory = build.cache_directory()
    for level in build.usable_levels()[-2:]:
        load(level, directory)
    return directory


@pytest.fixture
def one_level(compiled: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The compiler gives the plain level, the only one there is; the folder in which temporary directories are made."""
    compiler.is_given(compiled)
    monkeypatch.setattr(build, "levels", lambda: (build.PLAIN,))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    build.private_directory.cache_clear()
    return tmp_path


def test_a_library_is_compiled_once(compiled: Path, compiler: Compiler) -> None:
    compiler.is_given(compiled)
    for _ in range(2):
        load.cache_clear()
        load(build.PLAIN, compiler.cache)
    assert compiler.compiled == ["plain"]
    assert [path.name for path in compiler.cache.iterdir()] == [build.PLAIN.file_name]


def test_whether_it_will_be_compiled_is_known(
    compiled: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler.is_given(compiled)
    assert compiles_first(CPU, torch.bfloat16)
    assert not compiles_first(CPU, torch.float32)
    build.compile_library(build.PLAIN, compiler.cache)
    assert not compiles_first(CPU, torch.bfloat16)
    monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", str(tmp_path / "another"))
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not compiles_first(CPU, torch.bfloat16), "there is no compiler"


@pytest.mark.parametrize("command", ["", "/nowhere/c++"])
def test_nor_is_it_where_there_is_another_compiler_or_none(
    command: str, compiled: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on the machine that libraries are compiled ahead for."""
    compiler.is_given(compiled)
    build.compile_library(build.PLAIN, compiler.cache)
    monkeypatch.setenv("CXX", command)
    monkeypatch.setenv("PATH", str(tmp_path))
    load.cache_clear()
    load(build.PLAIN, compiler.cache)
    assert compiler.compiled == ["plain"]


def test_a_library_is_not_another_kind_of_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for machine in ("x86_64", "aarch64"):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        names.add(build.PLAIN.file_name)
    assert len(names) == 2


def test_a_level_that_the_compiler_does_not_know_leaves_the_next(
    compiled: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As GCC 10 does not know AMX, nor GCC 9 AVX512-BF16."""
    levels = tuple(build.Level(name, frozenset(), (f"-m{name}",)) for name in ("new", "newer"))
    monkeypatch.setattr(build, "levels", lambda: (*levels, build.PLAIN))
    compiler.is_given(compiled, unknown=("-mnew", "-mnewer"))
    with caplog.at_level(logging.WARNING):
        ops = [select_ops(CPU, torch.bfloat16, torch.bfloat16) for _ in range(2)]
    assert ops[0].library is ops[1].library is load(build.PLAIN, compiler.cache)
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "the C++ ops run as for plain, slower than for new",
        "the C++ ops run as for plain, slower than for newer",
    ]
    assert "option '-mnewer'" in caplog.text
    assert compiler.compiled == ["new", "newer", "plain"]
    assert [path.name for path in compiler.cache.iterdir()] == [build.PLAIN.file_name]


def test_a_library_that_cannot_be_loaded_is_compiled_anew(
    compiled: Path, compiler: Compiler, caplog: pytest.LogCaptureFixture
) -> None:
    compiler.is_given(compiled)
    compiler.cache.mkdir()
    path = compiler.cache / build.PLAIN.file_name
    path.touch()
    with caplog.at_level(logging.WARNING):
        load(build.PLAIN, compiler.cache)
    assert f"{path} is compiled anew, for it cannot be loaded" in caplog.text
    assert path.read_bytes() == (compiled / path.name).read_bytes()


def test_nor_is_it_compiled_for_ever(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "levels", lambda: (build.AVX2, build.PLAIN))
    monkeypatch.setattr(build, "cpu_features", lambda: build.AVX2.features)
    with pytest.raises(build.CannotBuildError, match=r"kernels-avx2-.*cannot be loaded.*nor can "):
        load_best(compiler.cache)
    assert compiler.compiled == ["avx2"], "what cannot be loaded is no matter of the level"


@pytest.mark.parametrize("compiles", [True, False])
def test_from_where_nothing_may_be_executed_it_is_taken_elsewhere(
    compiled: Path,
    compiler: Compiler,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    compiles: bool,
) -> None:
    """One that was compiled ahead too, where there is no compiler."""

    class Noexec(Library):
        def __init__(self, path: Path) -> None:
            if path.parent == compiler.cache:
                raise OSError("failed to map segment from shared object")
            super().__init__(path)

    compiler.is_given(compiled)
    monkeypatch.setattr("engine.kernels.cpu.library.Library", Noexec)
    if not compiles:
        compiler.cache.mkdir()
        shutil.copy(compiled / build.PLAIN.file_name, compiler.cache)
        monkeypatch.setattr("engine.kernels.cpu.library.find_compiler", lambda: None)
    load.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert isinstance(load(build.PLAIN, compiler.cache), Library)
    assert "failed to map segment from shared object (set CAROUSEL_KERNEL_CACHE)" in caplog.text


def test_a_cache_may_be_named_from_here(
    compiled: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler.is_given(compiled)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", ".")
    load.cache_clear()
    load(build.PLAIN, build.cache_directory())
    assert (tmp_path / build.PLAIN.file_name).exists()


def test_a_second_openmp_is_told_of(
    compiled: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build, "levels", lambda: (build.PLAIN,))
    for runtimes in (["libgomp.so.1"], ["libgomp.so.1", "libomp.so"]):
        monkeypatch.setattr("engine.kernels.cpu.library.openmp_runtimes", lambda runtimes=runtimes: runtimes)
        load_best.cache_clear()
        load_best(compiled)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "OpenMP is libgomp.so.1 and libomp.so"
    ]


def test_the_ops_run_on_torchs_openmp(compiled: Path) -> None:
    load(build.PLAIN, compiled)
    assert len(openmp_runtimes()) == 1


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of a system call of x86-64")
def test_amx_that_linux_does_not_give_is_told_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ARCH_REQ_XCOMP_PERM", 0)
    assert not build.tiles_allowed()
    assert "AMX is not used, which this processor has: Linux says" in caplog.text


@pytest.mark.parametrize("homeless", [False, True])
def test_what_cannot_be_kept_is_compiled_for_this_process(
    homeless: bool, one_level: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (one_level / "file").touch()
    unwritable = one_level / "file" / "kernels"
    monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", str(unwritable))
    if homeless:
        monkeypatch.delenv("CAROUSEL_KERNEL_CACHE")
        monkeypatch.delenv("HOME")
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with caplog.at_level(logging.WARNING):
        assert select_ops(CPU, torch.bfloat16, torch.bfloat16).library is not None
        assert select_ops(CPU, torch.bfloat16, torch.bfloat16).library is not None
    (directory,) = one_level.glob("carousel-kernels-*")
    assert [path.name for path in directory.iterdir()] == [build.PLAIN.file_name]
    (record,) = caplog.records
    reason = "there is no home directory" if homeless else f"{unwritable} cannot be written"
    assert reason in record.getMessage()
    assert "CAROUSEL_KERNEL_CACHE" in record.getMessage()


def test_a_cache_that_may_not_be_looked_into_is_none(one_level: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user's home: then even whether there is a file in it is not told."""
    closed, stat = one_level / "closed", Path.stat

    def forbidden(path: Path, **options: bool) -> os.stat_result:
        if path.is_relative_to(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", forbidden)
    monkeypatch.setattr(build, "writable", lambda directory: not directory.is_relative_to(closed))
    monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", str(closed))
    assert select_ops(CPU, torch.bfloat16, torch.bfloat16).library is not None


def test_a_cache_is_for_this_user_alone(compiler: Compiler) -> None:
    assert build.cache_directory() == compiler.cache
    assert stat.S_IMODE(compiler.cache.stat().st_mode) == 0o700


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.usefixtures("one_level")
def test_a_library_that_may_be_anothers_is_not_loaded(
    foreign: bool,
    compiled: Path,
    compiler: Compiler,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    compiler.cache.mkdir()
    planted = compiler.cache / build.PLAIN.file_name
    shutil.copy(compiled / planted.name, planted)
    if foreign:
        owner = os.geteuid() + 1
        real = Path.stat
        monkeypatch.setattr(Path, "stat", lambda path, **options: owned(real(path, **options), owner))
    else:
        compiler.cache.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        assert select_ops(CPU, torch.bfloat16, torch.bfloat16).library is not None
        assert select_ops(CPU, torch.bfloat16, torch.bfloat16).library is not None
    assert compiler.compiled == ["plain"], "into a directory of the process's own"
    assert len(caplog.records) == 1
    assert f"{compiler.cache} {'belongs to another' if foreign else 'can be written by every'} user" in caplog.text


def owned(found: os.stat_result, owner: int) -> os.stat_result:
    """What `stat` tells, of another owner."""
    return os.stat_result((*found[: stat.ST_UID], owner, *found[stat.ST_UID + 1 :]))


def test_roots_cache_is_every_users(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of an image, whose server is not root."""
    build.cache_directory()
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **options: owned(real(path, **options), 0))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert build.distrusted(compiler.cache) is None


def test_a_directory_of_a_process_ends_with_it(tmp_path: Path) -> None:
    code = "from engine.kernels.cpu.build import private_directory; print(private_directory('').is_dir())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True)
    assert done.stdout == "True\n"
    assert not any(tmp_path.iterdir())


def test_where_nothing_can_be_written_the_references_run(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CAROUSEL_KERNEL_CACHE", str(tmp_path / "file" / "kernels"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    build.private_directory.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert select_ops(CPU, torch.bfloat16, torch.bfloat16) is REFERENCE
    assert "kernels cannot be written, and no temporary directory can be made" in caplog.text


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


def test_sources_that_change_while_they_are_compiled(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What comes out is of neither."""
    shutil.copytree(build.SOURCES, tmp_path / "source")
    monkeypatch.setattr(build, "SOURCES", tmp_path / "source")
    name = build.PLAIN.file_name
    (tmp_path / "source" / ".#attention.h").symlink_to("nobody@nowhere.1")
    (tmp_path / "source" / ".DS_Store").touch()
    assert build.PLAIN.file_name == name, "these are no sources"
    with compiler.script.open("a") as script:
        script.write(f"open({str(tmp_path / 'source' / 'attention.h')!r}, 'a').write('// more')")
    with pytest.raises(build.CannotBuildError, match="changed meanwhile"):
        build.compile_library(build.PLAIN, compiler.cache)
    assert not any(compiler.cache.iterdir())


def test_an_interrupted_compilation_leaves_nothing(compiler: Compiler) -> None:
    compiler.script.write_text("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    command = [sys.executable, "-m", "engine.kernels.cpu.build", str(compiler.cache)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not any(compiler.cache.iterdir())


def test_ahead_of_time(compiler: Compiler) -> None:
    command = [sys.executable, "-m", "engine.kernels.cpu.build", str(compiler.cache)]
    subprocess.run(command, check=True)
    assert {path.name for path in compiler.cache.iterdir()} == {level.file_name for level in build.levels()}


@pytest.mark.parametrize("known", [True, False])
def test_ahead_of_time_a_level_that_the_compiler_does_not_know_leaves_the_others(
    known: bool, compiler: Compiler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "levels", lambda: (build.AMX, build.AVX2))
    compiler.is_given(unknown=("-mamx-tile",) if known else ("-shared",))
    assert build.main(compiler.cache) == (0 if known else 1)
    told = capsys.readouterr()
    assert told.out == (f"{compiler.cache / build.AVX2.file_name}\n" if known else "")
    assert "amx cannot be built: " in told.err
    assert ("avx2 cannot be built: " in told.err) != known


def test_ahead_of_time_nothing_is_compiled_elsewhere(compiler: Compiler, capsys: pytest.CaptureFixture[str]) -> None:
    compiler.cache.touch()
    assert build.main(compiler.cache) == 1
    assert f"{compiler.cache} cannot be written" in capsys.readouterr().err
