"""Where a model's files are: the embedded model, a local directory, or a hub id, downloaded once."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from engine.checkpoint.download import Progress, cached, download, hub_allows
from engine.errors import CheckpointError

EMBEDDED = Path(__file__).parent.parent / "embedded"
CONFIG_FILES = ("config.json", "generation_config.json")
"""What a plan reads."""
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

    A hub model that was downloaded is used as it is, without a look at the network; else, or to `update` it, what is
    missing of its top level's `files` is fetched into Hugging Face's cache. `progress` is told how far that is.

    Raises CheckpointError, which says what to do, if there is no such directory or hub model, or it cannot be had.
    """
    directory = local_path(model)
    if directory is not None and directory.is_dir():
        if revision is not None:
            raise CheckpointError(f"{model}: --revision {revision} is for models from the hub: leave it out")
        return directory
    if directory is not None:
        raise CheckpointError(f"{model}: a file, but a model is a directory: give the one that it lies in")
    if not HUB_ID.fullmatch(model) or not hub_allows(model):
        raise CheckpointError(
            f"{model}: no such directory, and not a hub id like openai/gpt-oss-20b ('embedded' is the model that "
            f"comes with Carousel)"
        )
    there = None if update else cached(model, revision, files)
    progress = progress or (lambda done, total: None)
    return there or download(model, revision, files, progress, or_cached=not update)


def downloaded(model: str, revision: str | None) -> bool:
    """Whether all of a hub model is known to be here."""
    return cached(model, revision, ALL_FILES) is not None


def local_path(model: str) -> Path | None:
    """What is there by that name on this machine. Raises CheckpointError if that cannot be told, or may not be read."""
    try:
        path = EMBEDDED if model == "embedded" else Path(model).expanduser()
        if not path.exists():
            return None
    except OSError as error:
        raise CheckpointError(f"{model}: {error.strerror}") from None
    except RuntimeError as error:  # Of a user who is not known.
        raise CheckpointError(f"{model}: {error}") from None
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        raise CheckpointError(f"{model}: a directory that this user may not read")
    return path
