"""A client that does what HTTP libraries would not do."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class RawClient:
    """A connection, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError if the server has hung up."""
        self.writer.write(data)
        await self.writer.drain()

    async def read_to_end(self) -> bytes:
        """All bytes until the server hangs up, in whatever way."""
        received = bytearray()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while piece := await self.reader.read(1 << 16):
                    received += piece
        except ConnectionError:
            pass
        return bytes(received)

    async def refusal(self) -> tuple[int, dict[str, Any]]:
        """The status and the error of the answer after which the server hangs up."""
        return refusal_in(await self.read_to_end())


def refusal_in(answer: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the error of an HTTP answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d+) ", head)
    assert status is not None, answer[:200]
    content = json.loads(body)
    assert content["error"].keys() == {"message", "type", "param", "code"}
    return int(status[1]), content["error"]


@asynccontextmanager
async def raw_client(url: str, *, receive_buffer: int | None = None) -> AsyncIterator[RawClient]:
    """`receive_buffer` is the bytes of an unread answer that the kernel keeps."""
    parts = urlsplit(url)
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1 << 16)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


def post(path: str, body: bytes, *headers: str, host: str = "localhost") -> bytes:
    """The bytes of a POST request with JSON."""
    lines = [
        f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}",
        *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body
