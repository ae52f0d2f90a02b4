"""Where a model's files are found, and what is said when they are not."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

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
    with pytest.raises(CheckpointError, match="no such directory, and not a hub id like org/name"):
        resolve_model(model)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="a file, but a model is a directory"):
        resolve_model(str(tmp_path / "model.safetensors"))


REPOSITORY = (
    "README.md",
    "chat_template.jinja",
    "config.json",
    "metal/model.bin",
    "model-00000-of-00002.safetensors",
    "model.safetensors.index.json",
    "original/config.json",
    "original/model.safetensors",
    "tokenizer.json",
)


def kept(options: dict[str, Any]) -> list[str]:
    """Of a repository like the published ones, the files that such a download fetches."""
    return list(
        huggingface_hub.utils.filter_repo_objects(
            REPOSITORY, allow_patterns=options["allow_patterns"], ignore_patterns=options["ignore_patterns"]
        )
    )


class TestHub:
    """The hub's client replaced: what it is asked for, and what becomes of its errors."""

    def replace(self, monkeypatch: pytest.MonkeyPatch, outcome: str | Exception) -> list[tuple[Any, Any]]:
        calls: list[tuple[Any, Any]] = []

        def snapshot_download(*args: Any, **options: Any) -> str:
            calls.append((args, options))
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        return calls

    def test_only_what_is_needed_is_fetched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = self.replace(monkeypatch, "/cache/snapshot")
        assert resolve_model("openai/gpt-oss-20b", revision="v1") == Path("/cache/snapshot")
        ((args, options),) = calls
        assert args == ("openai/gpt-oss-20b",)
        assert options["revision"] == "v1"
        assert kept(options) == [
            "chat_template.jinja",
            "config.json",
            "model-00000-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
        ]

    def test_a_plan_fetches_no_weights(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = self.replace(monkeypatch, "/cache/snapshot")
        resolve_model("openai/gpt-oss-20b", weights=False)
        assert kept(calls[0][1]) == [
            "chat_template.jinja",
            "config.json",
            "model.safetensors.index.json",
            "tokenizer.json",
        ]

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            (errors.GatedRepoError, "access is restricted"),
            (errors.RepositoryNotFoundError, "no such model on the hub"),
            (errors.RevisionNotFoundError, "the hub has no revision v9"),
            (errors.LocalEntryNotFoundError, "the hub cannot be reached"),
            (errors.HfHubHTTPError, "download failed: 500 Server Error"),
            (OSError, "download failed: 500 Server Error"),
        ],
    )
    def test_its_errors(self, monkeypatch: pytest.MonkeyPatch, kind: Any, expected: str) -> None:
        error = kind.__new__(kind)
        Exception.__init__(error, "500 Server Error\nwith a second line")
        self.replace(monkeypatch, error)
        with pytest.raises(CheckpointError) as caught:
            resolve_model("org/name", revision="v9")
        assert str(caught.value).startswith("org/name: ")
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_offline_and_not_cached(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The real client, told that there is no network."""
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(CheckpointError, match="not downloaded yet, and the hub cannot be reached"):
            resolve_model("org/name")
