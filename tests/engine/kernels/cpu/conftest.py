"""Tests every C++ op at every level that this processor supports. Without a compiler there are no such ops."""

import pytest

from engine.kernels.cpu.build import Level, cache_directory, find_compiler, usable_levels
from engine.kernels.cpu.library import Library, load


@pytest.fixture(scope="session", params=usable_levels(), ids=lambda level: level.name)
def level(request: pytest.FixtureRequest) -> Level:
    if find_compiler() is None:
        pytest.skip("no C++ compiler: here the ops run as plain torch")
    level: Level = request.param
    return level


@pytest.fixture(scope="session")
def library(level: Level) -> Library:
    return load(level, cache_directory())
