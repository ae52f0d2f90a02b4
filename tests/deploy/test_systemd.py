"""The systemd unit."""

import re
import shlex
from pathlib import Path

from tests.deploy.serve_command import serve_settings

UNIT = (Path(__file__).parents[2] / "docs/deploy/carousel.service").read_text()
LINES = [line.partition("=")[::2] for line in UNIT.splitlines() if re.match(r"\w+=", line)]
SETTINGS = dict(LINES)


def test_the_server_takes_what_it_is_told() -> None:
    program, *command = shlex.split(SETTINGS["ExecStart"])
    assert program.endswith("/bin/carousel")
    environment = dict(pair.split("=") for key, pairs in LINES if key == "Environment" for pair in pairs.split())
    settings = serve_settings(command, environment)
    assert (settings["model"], settings["host"]) == ("openai/gpt-oss-20b", "127.0.0.1")
    assert settings["device"] == "cuda"


def test_the_engine_is_not_told_to_stop_beside_the_server() -> None:
    assert SETTINGS["KillMode"] == "mixed"
    assert "KillSignal" not in SETTINGS
    _, *command = shlex.split(SETTINGS["ExecStart"])
    assert int(SETTINGS["TimeoutStopSec"]) > serve_settings(command, {})["drain_timeout"]


def test_gpus_stay_in_reach() -> None:
    """These settings take /dev/nvidia* away."""
    assert not SETTINGS.keys() & {"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock"}
