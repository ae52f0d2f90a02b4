"""Where a model's files are: the embedded model, a local directory, or a hub id, downloaded once."""

import re
from pathlib import Path

from engine.checkpoint.download import Progress, cached, download
from engine.errors import CheckpointError

EMBEDDED = Path(__file__).parent.parent / "embedded"
TEXT_FILES = ("*.json", "*.jinja")
WEIGHT_FILES = ("*.safetensors",)
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve_model(
    model: str,
    *,
    revision: str | None = None,
    weights: bool = True,
    update: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The directory of "embedded", of a local path, or of a hub id (at `revision`: a branch, tag or commit).

    A hub model that was downloaded is used as it is, without a look at the network; else, or to `update` it, what is
    missing of its top level's weights, JSON files and templates is fetched into Hugging Face's cache, without
    `weights` only the latter two. `progress` is told of weights alone: the rest is small.

    Raises CheckpointError, which says what to do, if there is no such directory or hub model, or it cannot be had.
    """
    directory = EMBEDDED if model == "embedded" else Path(model).expanduser()
    if directory.is_dir():
        if revision is not None:
            raise CheckpointError(f"{model}: --revision {revision} is for models from the hub: leave it out")
        return directory
    if directory.exists():
        raise CheckpointError(f"{model}: a file, but a model is a directory: give the one that it lies in")
    if not HUB_ID.fullmatch(model):
        raise CheckpointError(
            f"{model}: no such directory, and not a hub id like openai/gpt-oss-20b ('embedded' is the model that "
            f"comes with Carousel)"
        )
    patterns = (*TEXT_FILES, *WEIGHT_FILES) if weights else TEXT_FILES
    there = None if update else cached(model, revision, patterns)
    progress = progress or (lambda done, total: None)
    return there or download(model, revision, patterns, progress, or_cached=not update)
