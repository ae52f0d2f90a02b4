"""`carousel pull`: downloads the files of a hub model and shows the progress."""

import logging
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.hub import TEXT_FILES, downloaded, local_path, resolve_model
from engine.checkpoint.verify import verify_checkpoint
from engine.memory_plan import size
from server.logs import log


class DownloadBar:
    """A bar on a terminal; elsewhere, as in a container, a line of the log for every tenth."""

    def __init__(self, model: str) -> None:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn(f"downloading {model}"), *columns,
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._model = model
        self._task = self.bar.add_task("", visible=False)
        self._tenths = -1

    def __call__(self, done: int, total: int) -> None:
        self.bar.update(self._task, completed=done, total=total, visible=True)
        tenths = 10 * done // max(total, 1)
        if self.bar.disable and tenths > self._tenths:
            self._tenths = tenths
            log(logging.INFO, "download", f"downloading {self._model}: {size(done)} of {size(total)}")


def fetch(
    model: str,
    revision: str | None,
    *,
    weights: bool = True,
    update: bool = False,
    check: Callable[[Path], None] = lambda directory: None,
) -> Path:
    """Downloads what is missing of `model` and returns its directory. The config comes first, and `weights` only if the
    config can be served. `check` is called with the directory before weights are fetched from the hub.

    Raises CheckpointError, ConfigError or what `check` does.
    """
    directory = resolve_model(model, revision=revision, files=TEXT_FILES, update=update)
    read_model_config(directory)
    if not weights:
        return directory
    if local_path(model) is None and not downloaded(model, revision):
        check(directory)
    show = DownloadBar(model)
    with show.bar:
        return resolve_model(model, revision=revision, update=update, progress=show)


def pull(model: str, revision: str | None) -> str:
    """Fetches the newest files of `model` and describes them in a line. Raises CheckpointError or ConfigError."""
    directory = fetch(model, revision, update=True)
    manifest = verify_checkpoint(directory, read_model_config(directory))
    return f"{model}: complete, {size(manifest.total_bytes)} of weights in {directory}"
