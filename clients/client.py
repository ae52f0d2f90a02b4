"""Carousel's clients, blocking and asyncio: the same calls, over httpx.

    with Carousel() as client:
        for delta in client.stream_chat([{"role": "user", "content": "Hello"}]):
            print(delta.text, end="")

They speak to any OpenAI-compatible server. Request fields go in as keyword arguments. Errors are those of
`clients.errors`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import httpx

from clients import protocol
from clients.protocol import DEFAULT_URL, TIMEOUT, Call, Prompt, StreamReader
from clients.results import Answer, Delta, Message, Model


class Carousel:
    """The blocking client. Use it as a context manager, or `close` it."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, headers=protocol.headers(api_key), timeout=TIMEOUT, transport=transport)

    def complete(self, prompt: Prompt, **options: Any) -> Answer:
        """The continuation of a text or of token ids."""
        return Answer.parse(self._call(protocol.completion(prompt, options, stream=False)))

    def stream_complete(self, prompt: Prompt, **options: Any) -> Generator[Delta, None, None]:
        """The continuation while it comes. Closing the iterator ends the request."""
        return self._stream(protocol.completion(prompt, options, stream=True))

    def chat(self, messages: Sequence[Message], **options: Any) -> Answer:
        """The next message of a conversation."""
        return Answer.parse(self._call(protocol.chat_completion(messages, options, stream=False)))

    def stream_chat(self, messages: Sequence[Message], **options: Any) -> Generator[Delta, None, None]:
        """The next message while it comes. Closing the iterator ends the request."""
        return self._stream(protocol.chat_completion(messages, options, stream=True))

    def models(self) -> list[Model]:
        return protocol.read_models(self._call(protocol.MODELS))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _call(self, call: Call) -> Any:
        with self._request(call) as response:
            response.read()
            return protocol.read_json(response)

    def _stream(self, call: Call) -> Generator[Delta, None, None]:
        reader = StreamReader()
        with self._request(call) as response:
            if not response.is_success:
                response.read()
                protocol.read_json(response)
            for chunk in response.iter_bytes():
                yield from reader.feed(chunk)
            reader.end()

    @contextmanager
    def _request(self, call: Call) -> Iterator[httpx.Response]:
        try:
            with self._http.stream(call.method, call.path, json=call.content) as response:
                yield response
        except httpx.HTTPError as error:
            raise protocol.unreachable(self.url, error) from error


class AsyncCarousel:
    """The asyncio client. Use it as an async context manager, or `aclose` it."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url, headers=protocol.headers(api_key), timeout=TIMEOUT, transport=transport
        )

    async def complete(self, prompt: Prompt, **options: Any) -> Answer:
        """The continuation of a text or of token ids."""
        return Answer.parse(await self._call(protocol.completion(prompt, options, stream=False)))

    def stream_complete(self, prompt: Prompt, **options: Any) -> AsyncGenerator[Delta, None]:
        """The continuation while it comes. Closing the iterator ends the request."""
        return self._stream(protocol.completion(prompt, options, stream=True))

    async def chat(self, messages: Sequence[Message], **options: Any) -> Answer:
        """The next message of a conversation."""
        return Answer.parse(await self._call(protocol.chat_completion(messages, options, stream=False)))

    def stream_chat(self, messages: Sequence[Message], **options: Any) -> AsyncGenerator[Delta, None]:
        """The next message while it comes. Closing the iterator ends the request."""
        return self._stream(protocol.chat_completion(messages, options, stream=True))

    async def models(self) -> list[Model]:
        return protocol.read_models(await self._call(protocol.MODELS))

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def _call(self, call: Call) -> Any:
        async with self._request(call) as response:
            await response.aread()
            return protocol.read_json(response)

    async def _stream(self, call: Call) -> AsyncGenerator[Delta, None]:
        reader = StreamReader()
        async with self._request(call) as response:
            if not response.is_success:
                await response.aread()
                protocol.read_json(response)
            async for chunk in response.aiter_bytes():
                for delta in reader.feed(chunk):
                    yield delta
            reader.end()

    @asynccontextmanager
    async def _request(self, call: Call) -> AsyncIterator[httpx.Response]:
        try:
            async with self._http.stream(call.method, call.path, json=call.content) as response:
                yield response
        except httpx.HTTPError as error:
            raise protocol.unreachable(self.url, error) from error
