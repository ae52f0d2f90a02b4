import pytest
import typer

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
