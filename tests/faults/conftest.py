from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from engine.config import EngineConfig
from tests.faults.aftermath import Aftermath
from tests.faults.real_server import RealServer, real_server, write_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> EngineConfig:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig) -> AsyncIterator[RealServer]:
    """One server for all tests of a module, which may override this fixture to change its settings."""
    async with real_server(tiny_model) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def aftermath(server: RealServer) -> AsyncIterator[Aftermath]:
    """Checks after a test that its fault left nothing behind."""
    aftermath = await Aftermath.before(server.http, server.log.getvalue)
    yield aftermath
    await aftermath.check()
