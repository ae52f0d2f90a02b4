"""Where a model's files are found, and what is said when they are not. For the hub's models see test_download.py."""

from pathlib import Path

import pytest

from engine.checkpoint.hub import resolve_model
from engine.errors import CheckpointError


def test_embedded() -> None:
    directory = resolve_model("embedded")
    assert directory.name == "embedded"
    assert directory.parent.name == "engine"


def test_a_directory_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_model(str(tmp_path)) == tmp_path
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("org/name") == Path("org/name")


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    assert resolve_model("~/models") == tmp_path / "models"


@pytest.mark.parametrize("model", ["gpt-oss-20b", "/no/such", "./org/name", "a/b/c", "~/none", "org/na me"])
def test_neither_directory_nor_hub_id(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no such directory, and not a hub id like openai/gpt-oss-20b"):
        resolve_model(model)


def test_a_revision_is_the_hub_s(tmp_path: Path) -> None:
    for model in ("embedded", str(tmp_path)):
        with pytest.raises(CheckpointError, match="--revision v2 is for models from the hub"):
            resolve_model(model, revision="v2")


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="a file, but a model is a directory"):
        resolve_model(str(tmp_path / "model.safetensors"))
