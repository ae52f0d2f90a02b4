"""Carousel's clients, blocking and asyncio: the same calls, over httpx.

    with Carousel() as client:
        for delta in client.stream_chat([{"role": "user", "content": "Hello"}]):
            print(delta.text, end="")

They work with any OpenAI-compatible server. Request fields are keyword arguments. Errors are those of `clients.errors`;
a request that the server has not begun to answer is sent again as `clients.retries` says.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from itertools import count
from typing import Any, Self, TypeVar, Unpack

import httpx

from clients import connection, protocol
from clients.errors import ClientError
from clients.options import ChatOptions, CompletionOptions, TurnOptions
from clients.protocol import DEFAULT_URL, TIMEOUT, Call, Prompt, StreamReader
from clients.results import Answer, Delta, Message, Model, Readiness
from clients.retries import Retries
from clients.tool_loop import MAX_ROUNDS, Function, ToolLoop, ToolRun, invoke_together

T = TypeVar("T")


class Carousel:
    """The blocking client. Use it as a context manager, or `close` it.

    `timeout` is httpx's, in seconds. By default, connecting and sending have a limit; an answer may take any time.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: httpx.Timeout | float = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = protocol.base_url(url)
        self._retries = retries or Retries()
        with protocol.clear_usage("the key, a proxy or the certificates"):
            self._http = httpx.Client(
                base_url=self.url,
                headers=protocol.headers(api_key),
                timeout=timeout,
                transport=transport or httpx.HTTPTransport(**connection.settings(self.url)),
            )

    def complete(self, prompt: Prompt | Sequence[Prompt], **options: Unpack[CompletionOptions]) -> Answer:
        """The continuation of a text or of token ids, or of several."""
        return self._call(protocol.completion(prompt, options))

    def stream_complete(
        self, prompt: Prompt | Sequence[Prompt], **options: Unpack[CompletionOptions]
    ) -> Generator[Delta, None, None]:
        """The continuation as it arrives. Closing or dropping the iterator ends the request."""
        return self._stream(protocol.completion(prompt, options, stream=True))

    def chat(self, messages: Sequence[Message], **options: Unpack[ChatOptions]) -> Answer:
        """The next message of a conversation."""
        return self._call(protocol.chat_completion(messages, options))

    def stream_chat(self, messages: Sequence[Message], **options: Unpack[ChatOptions]) -> Generator[Delta, None, None]:
        """The next message as it arrives. Closing or dropping the iterator ends the request."""
        return self._stream(protocol.chat_completion(messages, options, stream=True))

    def run_tools(
        self,
        messages: Sequence[Message],
        tools: Mapping[str, Function],
        *,
        max_rounds: int = MAX_ROUNDS,
        **options: Unpack[TurnOptions],
    ) -> ToolRun:
        """Calls the functions that the model asks for and sends back their results, until the model answers.

        A function's signature tells the model its parameters (`clients.tool_schema`). The message of a ToolError goes
        to the model, any other exception to the caller. Raises ToolRoundsError.
        """
        loop = ToolLoop(messages, tools, options, max_rounds)
        while loop.run is None:
            for call in loop.take(self._call(protocol.chat_completion(loop.messages, loop.options))):
                loop.give(call, call.invoke())
        return loop.run

    def models(self) -> list[Model]:
        return self._call(protocol.models())

    def tokenize(self, text: str | Sequence[Message]) -> list[int]:
        """The token ids of a text, or of a conversation as the chat endpoint would render it."""
        return self._call(protocol.tokenize(text))

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return self._call(protocol.detokenize(token_ids))

    def health(self) -> None:
        """Raises ClientError unless the server is alive."""
        return self._call(protocol.health())

    def ready(self) -> Readiness:
        """Whether the model is loaded."""
        return self._call(protocol.ready())

    def version(self) -> str:
        return self._call(protocol.version())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _call(self, call: Call[T]) -> T:
        with protocol.clear_errors(self.url):
            response = self._open(call)
            try:
                response.read()
            finally:
                response.close()
        return protocol.read(call, response)

    def _stream(self, call: Call[Any]) -> Generator[Delta, None, None]:
        reader = StreamReader()
        with protocol.clear_errors(self.url):
            response = self._open(call)
            try:
                for chunk in response.iter_bytes():
                    yield from reader.feed(chunk)
            finally:
                response.close()
        reader.end()

    def _open(self, call: Call[Any]) -> httpx.Response:
        """A response that is not an error; its content is not read yet."""
        for failures in count(1):
            try:
                return self._try(call)
            except ClientError as error:
                pause = self._retries.pause(error, failures)
                if pause is None:
                    raise
            time.sleep(pause)
        raise AssertionError

    def _try(self, call: Call[Any]) -> httpx.Response:
        with protocol.clear_errors(self.url):
            with protocol.clear_usage("the request"):
                request = self._http.build_request(call.method, call.path, json=call.content)
            response = self._http.send(request, stream=True)
            if call.accepts(response):
                return response
            try:
                response.read()
            finally:
                response.close()
        raise protocol.refusal(response)


class AsyncCarousel:
    """The asyncio client. Use it as an async context manager, or `aclose` it.

    `timeout` is httpx's, in seconds. By default, connecting and sending have a limit; an answer may take any time.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: httpx.Timeout | float = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = protocol.base_url(url)
        self._retries = retries or Retries()
        with protocol.clear_usage("the key, a proxy or the certificates"):
            self._http = httpx.AsyncClient(
                base_url=self.url,
                headers=protocol.headers(api_key),
                timeout=timeout,
                transport=transport or httpx.AsyncHTTPTransport(**connection.settings(self.url)),
            )

    async def complete(self, prompt: Prompt | Sequence[Prompt], **options: Unpack[CompletionOptions]) -> Answer:
        """The continuation of a text or of token ids, or of several."""
        return await self._call(protocol.completion(prompt, options))

    def stream_complete(
        self, prompt: Prompt | Sequence[Prompt], **options: Unpack[CompletionOptions]
    ) -> AsyncGenerator[Delta, None]:
        """The continuation as it arrives. Closing or dropping the iterator ends the request."""
        return self._stream(protocol.completion(prompt, options, stream=True))

    async def chat(self, messages: Sequence[Message], **options: Unpack[ChatOptions]) -> Answer:
        """The next message of a conversation."""
        return await self._call(protocol.chat_completion(messages, options))

    def stream_chat(self, messages: Sequence[Message], **options: Unpack[ChatOptions]) -> AsyncGenerator[Delta, None]:
        """The next message as it arrives. Closing or dropping the iterator ends the request."""
        return self._stream(protocol.chat_completion(messages, options, stream=True))

    async def run_tools(
        self,
        messages: Sequence[Message],
        tools: Mapping[str, Function],
        *,
        max_rounds: int = MAX_ROUNDS,
        **options: Unpack[TurnOptions],
    ) -> ToolRun:
        """Like `Carousel.run_tools`. The functions of one round run concurrently; those not async run in threads."""
        loop = ToolLoop(messages, tools, options, max_rounds)
        while loop.run is None:
            calls = loop.take(await self._call(protocol.chat_completion(loop.messages, loop.options)))
            for call, result in zip(calls, await invoke_together(calls), strict=True):
                loop.give(call, result)
        return loop.run

    async def models(self) -> list[Model]:
        return await self._call(protocol.models())

    async def tokenize(self, text: str | Sequence[Message]) -> list[int]:
        """The token ids of a text, or of a conversation as the chat endpoint would render it."""
        return await self._call(protocol.tokenize(text))

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        return await self._call(protocol.detokenize(token_ids))

    async def health(self) -> None:
        """Raises ClientError unless the server is alive."""
        return await self._call(protocol.health())

    async def ready(self) -> Readiness:
        """Whether the model is loaded."""
        return await self._call(protocol.ready())

    async def version(self) -> str:
        return await self._call(protocol.version())

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def _call(self, call: Call[T]) -> T:
        with protocol.clear_errors(self.url):
            response = await self._open(call)
            try:
                await response.aread()
            finally:
                await response.aclose()
        return protocol.read(call, response)

    async def _stream(self, call: Call[Any]) -> AsyncGenerator[Delta, None]:
        reader = StreamReader()
        with protocol.clear_errors(self.url):
            response = await self._open(call)
            try:
                async for chunk in response.aiter_bytes():
                    for delta in reader.feed(chunk):
                        yield delta
            finally:
                await response.aclose()
        reader.end()

    async def _open(self, call: Call[Any]) -> httpx.Response:
        """A response that is not an error; its content is not read yet."""
        for failures in count(1):
            try:
                return await self._try(call)
            except ClientError as error:
                pause = self._retries.pause(error, failures)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError

    async def _try(self, call: Call[Any]) -> httpx.Response:
        with protocol.clear_errors(self.url):
            with protocol.clear_usage("the request"):
                request = self._http.build_request(call.method, call.path, json=call.content)
            response = await self._http.send(request, stream=True)
            if call.accepts(response):
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
        raise protocol.refusal(response)
