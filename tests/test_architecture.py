"""The arrows between packages point one way, and the light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "engine.config": {"engine.errors"},
    "engine.request": {"engine.errors"},
    "engine.errors": set(),
    "engine.plan": set(),
    "engine.buckets": set(),
    "engine.transfer": set(),
    "engine.streams": {"engine.errors", "engine.request"},
    "engine.admission": {"engine.errors", "engine.request"},
    "engine.kernels": {"engine.kernels"},
    "engine.cache": {"engine.cache", "engine.config", "engine.plan", "engine.transfer"},
    "engine.model": {"engine.model", "engine.cache", "engine.kernels", "engine.config"},
    "engine.scheduler": {"engine.scheduler", "engine.request", "engine.plan", "engine.errors"},
    "engine.grammar": {"engine.errors"},
    "engine.sampling": {
        "engine.sampling", "engine.kernels.choose", "engine.grammar", "engine.request", "engine.errors",
        "engine.transfer",
    },
    "engine.json_object": {"engine.config", "engine.errors"},
    "engine.prompt": {"engine.prompt", "engine.errors", "engine.json_object"},
    "engine.checkpoint": {
        "engine.checkpoint", "engine.config", "engine.errors", "engine.json_object", "engine.model.weights",
    },
    "engine.memory_plan": {"engine.config", "engine.errors", "engine.memory_sizes", "engine.plan"},
    "engine.memory_sizes": {"engine.buckets", "engine.config", "engine.errors"},
    "engine.floors": {"engine.config", "engine.memory_sizes"},
    "engine.runner": {
        "engine.runner", "engine.model", "engine.cache", "engine.kernels", "engine.sampling", "engine.plan",
        "engine.request", "engine.buckets", "engine.device", "engine.transfer",
    },
    "engine": {"engine"},
    "server": {"server", "engine"},
    "server.errors": {"engine.errors"},
    "server.frames": {"server.errors"},
    "server.schemas": {
        "server.schemas", "server.hosted_tools", "engine.errors", "engine.request", "engine.streams",
        "engine.prompt.grammar",
    },
    "server.cli": {"server", "engine", "clients"},
    "clients": {"clients"},
    "training": {"training"},
}  # fmt: skip
"""Each package (the longest prefix counts) and what of this project it may import."""

WITHOUT_TORCH = (
    "engine",
    "engine.admission",
    "engine.grammar",
    "engine.checkpoint.config_json",
    "engine.checkpoint.verify",
    "engine.checkpoint.hub",
    "engine.floors",
    "engine.memory_plan",
    "engine.plan",
    "engine.process.supervisor",
    "engine.prompt.chat",
    "engine.prompt.harmony_stream",
    "engine.scheduler.scheduler",
    "engine.streams",
    "server.app",
    "server.cli",
    "clients.client",
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module of this project that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return {name for name in found if name.split(".")[0] in ("engine", "server", "clients", "training", "tests")}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


SOURCES = sorted(path for top in ("engine", "server", "clients", "training") for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_one_way(path: Path) -> None:
    name = module_name(path)
    rule = max((package for package in MAY_IMPORT if within(name, package)), key=len)
    if rule == "engine" and name == "engine":
        return
    strays = {
        imported for imported in imports(path) if not any(within(imported, allowed) for allowed in MAY_IMPORT[rule])
    }
    assert not strays, f"{name} may not import {sorted(strays)}"


def test_light_modules_import_no_torch() -> None:
    code = (
        f"import sys\nfor name in {WITHOUT_TORCH}:\n    __import__(name)\n    assert 'torch' not in sys.modules, name"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_engine_runs_without_the_servers_packages() -> None:
    """Everything in `engine` imports where FastAPI and its company are not installed."""
    modules = [module_name(path) for path in SOURCES if path.is_relative_to(ROOT / "engine")]
    modules = [name for name in modules if not within(name, "engine.process")]
    code = (
        "import sys, importlib\n"
        "for name in ('fastapi', 'starlette', 'pydantic', 'uvicorn', 'typer', 'server', 'clients'):\n"
        "    sys.modules[name] = None\n"
        f"for name in {modules}:\n    importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
