"""An engine that loads, as it is shown on a terminal and off it."""

import sys

import pytest

from engine.streams import COMPILING, EngineStatus
from server.commands.loading import LoadingBar
from server.logs import logging_as


def test_off_a_terminal_every_tenth_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    loading = LoadingBar()
    with logging_as("text", sys.stderr), loading.bar:
        loading(EngineStatus("loading", 0.0, "starting"))
        for _ in range(2):
            loading(EngineStatus("loading", 0.0, COMPILING))
        loading.show_plan("all of it")
        for percent in range(101):
            loading(EngineStatus("loading", percent / 100, "loading weights"))
        loading(EngineStatus("loading", 0.0, "the engine ended; restart 1 in 0 s"))
        loading(EngineStatus("loading", 1.0, "recording steps"))
    lines = [line.partition(" info    ")[2] or line for line in capsys.readouterr().err.splitlines()]
    tenths = [f"loading weights: {percent}%" for percent in range(10, 101, 10)]
    assert lines == [COMPILING, "what fits:", "all of it", *tenths, "recording steps: 100%"]


def test_on_a_terminal_the_plan_stands_above_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    loading = LoadingBar()
    with logging_as("text", sys.stderr):
        with loading.bar:
            loading(EngineStatus("loading", 0.5, "preparing"))
            loading.bar.refresh()
            loading.show_plan("all of it")
            assert loading.bar.live.is_started
            loading(EngineStatus("loading", 0.5, "loading weights"))
            loading.bar.refresh()
        loading.show_plan("of the next engine")
        assert not loading.bar.live.is_started
    written = capsys.readouterr().err
    before, _, after = written.partition("what fits:\nall of it\n")
    line = before.rpartition("\n")[2].rpartition("\x1b[2K")[2]  # That erases the line.
    assert "preparing" in before
    assert "preparing" not in line, "the bar is gone from the plan's line"
    assert "loading weights" in after
    assert "loading weights: 50%" not in written
