"""No file of this project makes code of data, and none that serves can fetch anything."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for top in ("engine", "server", "clients", "training", "benchmarks") for path in (ROOT / top).rglob("*.py")
)
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FETCHING_MODULES = {"httpx", "requests", "urllib.request", "aiohttp", "urllib3", "http.client"}


@pytest.mark.fault(47)
def test_no_code_comes_from_data() -> None:
    """No pickle, eval, torch.load or remote code, found by walking every file's syntax tree.

    Training alone reads back what it has itself written, tensors and numbers, and with `weights_only`.
    """
    assert len(SOURCES) > 100
    assert [found for path in SOURCES for found in dangers(path.read_text(), str(path.relative_to(ROOT)))] == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from pickle import loads", "import dill.session", "eval('1')", "exec(x)", "torch.load(f)",
        "import torch as t\nt.load(f)", "from torch import load", "numpy.load(f, allow_pickle=True)",
        "f(trust_remote_code=True)", "yaml.load(f)", "builtins.eval(x)", "__import__('os')",
    ],
)  # fmt: skip
def test_the_walk_finds_them(code: str) -> None:
    assert list(dangers(code, "here"))


@pytest.mark.fault(47)
def test_the_server_fetches_nothing() -> None:
    """No module of the server or of the engine can make a request, but for the hub's, which only operators reach."""
    for path in SOURCES:
        relative = path.relative_to(ROOT)
        if relative.parts[0] in ("engine", "server"):
            assert not FETCHING_MODULES & set(imported(ast.parse(path.read_text()))), relative


def imported(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def dangers(code: str, where: str) -> list[str]:
    tree, found = ast.parse(code), []
    modules = imported(tree)
    torch_names = {"torch"} | {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "torch" and alias.asname
    }
    found += [name for name in modules if name.split(".")[0] in FORBIDDEN_MODULES or name == "torch.load"]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        if (not owner or owner == "builtins") and name in FORBIDDEN_CALLS:
            found.append(called)
        own = where.startswith("training/") and any(keyword.arg == "weights_only" for keyword in node.keywords)
        if name == "load" and (owner in torch_names or owner == "yaml") and not own:
            found.append(called)
        found += [
            f"{called}({keyword.arg})"
            for keyword in node.keywords
            if keyword.arg in ("allow_pickle", "trust_remote_code")
            and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        ]
    return [f"{where}: {name}" for name in found]
