"""The progress that `carousel serve` shows while its engine loads."""

import logging

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from engine.streams import COMPILING, EngineStatus
from server.logs import log


class LoadingBar:
    """A bar on a terminal; elsewhere, as in a container, a line of the log for every tenth, and for what brings
    none."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self.bar.add_task("starting", total=1.0)
        self._told = ("", 0)

    def __call__(self, status: EngineStatus) -> None:
        self.bar.update(self._task, completed=status.progress, description=status.message)
        now = status.message, int(10 * status.progress)
        if self.bar.disable and now != self._told and (now[1] or status.message == COMPILING):
            self._told = now
            log(logging.INFO, "loading", f"{status.message}: {10 * now[1]}%" if now[1] else status.message)

    def show_plan(self, plan: str) -> None:
        """Logs the memory plan, above the bar if one is shown."""
        shown = self.bar.live.is_started
        self.bar.stop()
        log(logging.INFO, "plan", f"what fits:\n{plan}")
        if shown:
            self.bar.start()
