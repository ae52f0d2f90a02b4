"""Where a model's files are found, and what is said when they are not. For the hub's models see test_download.py."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

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


@pytest.mark.parametrize(
    "model",
    [
        "gpt-oss-20b", "/no/such", "./org/name", "a/b/c", "~/none", "org/na me",
        "models--openai--gpt-oss-20b/snapshots", "a..b/c", "org/name-", "ö/x",
    ],
)  # fmt: skip
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


@pytest.fixture
def nobody() -> Iterator[None]:
    """Not root, who may read everything."""
    user = os.getuid()
    os.setresuid(65534 if user == 0 else user, -1, -1)
    os.seteuid(os.getuid())
    try:
        yield
    finally:
        os.setresuid(user, user, user)


@pytest.mark.parametrize(
    ("model", "reason"), [("a" * 300, "File name too long"), ("~no-such-user/x", "Could not determine home directory")]
)
def test_what_cannot_be_a_place(model: str, reason: str) -> None:
    with pytest.raises(CheckpointError, match=f"^{model}: {reason}"):
        resolve_model(model)


@pytest.mark.usefixtures("nobody")
def test_a_directory_that_may_not_be_read() -> None:
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        model.mkdir()
        unread, unentered = "a directory that this user may not read", "Permission denied"
        for closed, mode, reason in ((model, 0o444, unread), (model.parent, 0, unentered)):
            closed.chmod(mode)
            with pytest.raises(CheckpointError, match=f"^{model}: {reason}"):
                resolve_model(str(model))
        model.parent.chmod(0o700)
