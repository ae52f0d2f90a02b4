"""Where a model's files are: the embedded model, a local directory, or a hub id, downloaded once."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from engine.checkpoint.download import Progress, cached, download, hub_allows
from engine.errors import CheckpointError

EMBEDDED = Path(__file__).parent.parent / "embedded"
CONFIG_FILES = ("config.json", "generation_config.json")
"""The files that a memory plan reads."""
TEXT_FILES = ("*.json", "*.jinja")
ALL_FILES = (*TEXT_FILES, "*.safetensors")
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve_model(
    model: str,
    *,
    revision: str | None = None,
    files: Sequence[str] = ALL_FILES,
    update: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The directory of "embedded", of a local path, or of a hub id (at `revision`: a branch, tag or commit).

    A downloaded hub model is used as it is, without the network. Otherwise, or to `update` it, the missing ones of its
    top-level `files` are fetched into Hugging Face's cache; `progress` is called with how far that is.

    Raises CheckpointError, which says what to do, if there is no such directory or hub model, or it is unavailable.
    """
    directory = local_path(model)
    if directory is not None and directory.is_dir():
        if revision is not None:
            raise CheckpointError(f"{model}: --revision {revision} is for models from the hub: leave it out")
        return directory
    if directory is not None:
        raise CheckpointError(f"{model}: a file, but a model is a directory: give the one that contains it")
    if not HUB_ID.fullmatch(model) or not hub_allows(model):
        raise CheckpointError(
            f"{model}: no such directory, and not a hub id like openai/gpt-oss-20b ('embedded' is the model that "
            f"comes with Carousel)"
        )
    there = None if update else cached(model, revision, files)
    progress = progress or (lambda done, total: None)
    return there or download(model, revision, files, progress, or_cached=not update)


def downloaded(model: str, revision: str | None) -> bool:
    """Whether a hub model is known to be completely downloaded."""
    return cached(model, revision, ALL_FILES) is not None


def local_path(model: str) -> Path | None:
    """The path of that name on this machine, if it exists. Raises CheckpointError if it cannot be checked or read."""
    try:
        path = EMBEDDED if model == "embedded" else Path(model).expanduser()
        if not path.exists():
            return None
    except OSError as error:
        raise CheckpointError(f"{model}: {error.strerror}") from None
    except RuntimeError as error:  # `~name` of an unknown user.
        raise CheckpointError(f"{model}: {error}") from None
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise CheckpointError(f"{model}: a directory that this user may not read")
    return path
