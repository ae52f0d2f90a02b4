"""Where a model's files are: the embedded model, a local directory, or a hub id, downloaded once."""

import re
from collections.abc import Sequence
from pathlib import Path

from engine.errors import CheckpointError

EMBEDDED = Path(__file__).parent.parent / "embedded"
TEXT_FILES = ("*.json", "*.jinja")
WEIGHT_FILES = ("*.safetensors",)
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve_model(model: str, *, revision: str | None = None, weights: bool = True) -> Path:
    """The directory of "embedded", of a local path, or of a hub id (at `revision`: a branch, tag or commit).

    A download is kept in Hugging Face's cache and checked for changes when the network is there; without it
    the cached files serve. Only the top level's weights and their JSON files are fetched, without `weights` only the
    latter.

    Raises CheckpointError if there is no such directory or hub model, or it cannot be reached.
    """
    if model == "embedded":
        return EMBEDDED
    directory = Path(model).expanduser()
    if directory.is_dir():
        return directory
    if directory.exists():
        raise CheckpointError(f"{model}: a file, but a model is a directory")
    if not HUB_ID.fullmatch(model):
        raise CheckpointError(f"{model}: no such directory, and not a hub id like org/name")
    return download(model, revision, (*TEXT_FILES, *WEIGHT_FILES) if weights else TEXT_FILES)


def download(model: str, revision: str | None, patterns: Sequence[str]) -> Path:
    # Imported only here: a local model needs neither the library nor the time to load it.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=["*/*"],
            )
        )
    except GatedRepoError:
        raise CheckpointError(
            f"{model}: access is restricted: accept its terms on the hub and log in with `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(f"{model}: no such directory, and no such model on the hub (or it is private)") from None
    except RevisionNotFoundError:
        raise CheckpointError(f"{model}: the hub has no revision {revision}") from None
    except LocalEntryNotFoundError:
        raise CheckpointError(f"{model}: not downloaded yet, and the hub cannot be reached") from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{model}: download failed: {reason}") from error
