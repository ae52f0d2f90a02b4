import socket

import pytest
import typer

from engine.errors import ConfigError
from server.commands.sizes import parse_size
from server.config import ServerConfig
from server.origins import own_names


@pytest.mark.parametrize(
    "settings",
    [
        {"served_model_names": ()},
        {"served_model_names": ("a", "")},
        {"port": 70_000},
        {"port": -1},
        {"current_date": "31.1.2025"},
    ],
)
def test_settings_that_cannot_be(settings: dict) -> None:
    with pytest.raises(ConfigError):
        ServerConfig(**{"served_model_names": ("a",)} | settings)


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("*", "each name by itself; there are no wildcards"),
        ("*.corp.example", "each name by itself"),
        (".corp.example", "each name by itself"),
        ("", "each name by itself"),
        ("a b", "each name by itself"),
        ("http://[::1", "each name by itself"),
        ("gpu1.corp.example:8000", "give 'gpu1.corp.example', without a scheme, port or path"),
        ("https://gpu1.corp.example", "give 'gpu1.corp.example', "),
        ("HTTPS://Gpu1:8000/v1", "give 'gpu1', "),
        ("gpu1/v1", "give 'gpu1', "),
        ("[::1]:8000", "give '::1', "),
    ],
)
def test_a_host_that_no_request_can_name(host: str, advice: str) -> None:
    with pytest.raises(ConfigError, match="--allowed-host must be a name alone, got ") as caught:
        ServerConfig(served_model_names=("a",), allowed_hosts=("box", host))
    assert advice in str(caught.value)


def test_hosts_that_requests_name() -> None:
    hosts = ("box", "gpu-1.corp.example", "carousel_gpu", "Box.Example.", "xn--bcher-kva.example", "192.0.2.7", "::1")
    assert ServerConfig(served_model_names=("a",), allowed_hosts=hosts).allowed_hosts == hosts


@pytest.mark.parametrize(
    ("name", "names"),
    [("box.lan", ("box.lan", "box.local")), ("Eve's box", ()), ("", ()), ("b_x", ("b_x", "b_x.local"))],
)
def test_the_machines_own_names(monkeypatch: pytest.MonkeyPatch, name: str, names: tuple[str, ...]) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert own_names() == names


@pytest.mark.parametrize("size", ["", "G", "4X", "-1G", "1e9", "4 G G", "8E", "9" * 400, "10000000T"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_size(size)
