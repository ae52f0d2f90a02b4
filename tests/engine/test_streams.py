"""The events of requests, as asyncio code reads them."""

import pytest

from engine.errors import SlowReaderError
from engine.request import TokenEvent
from engine.streams import MAX_UNREAD, EventStream


async def test_what_nobody_reads_has_a_bound() -> None:
    aborted: list[str] = []
    stream = EventStream(["a", "b"], aborted.append)
    for _ in range(2 * MAX_UNREAD):
        stream.push(TokenEvent(request_id="a"))
    assert not aborted
    stream.push(TokenEvent(request_id="b"))
    assert sorted(aborted) == ["a", "b"]
    with pytest.raises(SlowReaderError):
        await anext(stream)
