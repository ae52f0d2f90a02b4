import doctest

import pytest
import typer

import server.body
import server.commands.sizes
import server.frames
import server.schemas.response_tools
import server.translate.carried
import server.translate.requests
from engine.errors import ConfigError
from server.commands.sizes import parse_size
from server.config import ServerConfig


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


@pytest.mark.parametrize("size", ["", "G", "4X", "-1G", "1e9", "4 G G", "8E", "9" * 400, "10000000T"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_size(size)


MODULES = [
    server.body,
    server.commands.sizes,
    server.frames,
    server.schemas.response_tools,
    server.translate.carried,
    server.translate.requests,
]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: object) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
