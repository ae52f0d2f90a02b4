"""What a client calls its requests means nothing inside."""

import asyncio

import pytest

from tests.faults.aftermath import Aftermath
from tests.faults.real_server import RealServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.fault(30)
async def test_requests_with_one_id_are_distinct_inside(server: RealServer, aftermath: Aftermath) -> None:
    aftermath.secrets.append("twins are told apart")
    bodies = [{"prompt": f"twins are told apart {i}", "max_tokens": 20, "temperature": 0} for i in range(4)]

    async def ask(body: dict, request_id: str) -> dict:
        response = await server.http.post("/v1/completions", json=body, headers={"x-request-id": request_id})
        assert (response.status_code, response.headers["x-request-id"]) == (200, request_id)
        return response.json()

    alone = [await ask(body, f"own-{i}") for i, body in enumerate(bodies)]
    together = await asyncio.gather(*(ask(body, "the-same") for body in bodies))
    assert [answer["choices"] for answer in together] == [answer["choices"] for answer in alone]
    assert len({answer["id"] for answer in together}) == len(bodies)
