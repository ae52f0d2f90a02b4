"""A conversation in which the model may call functions, without any input or output."""

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clients.errors import ToolRoundsError
from clients.options import ChatOptions, TurnOptions
from clients.results import Answer, Message, ToolCall
from clients.tool_schema import definition

MAX_ROUNDS = 10
CUT_OFF = "the call was cut off: it is too long"
Function = Callable[..., Any]


class ToolError(Exception):
    """Raised by a tool: the model gets the message and may try again."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """The final answer, and the whole conversation including it."""

    answer: Answer
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call that the model asks for."""

    call: ToolCall
    function: Function
    arguments: Mapping[str, Any]

    def invoke(self) -> str:
        """The result for the model: text as it is, anything else as JSON."""
        try:
            return _text(self.function(**self.arguments))
        except ToolError as error:
            return mistake(str(error))

    async def ainvoke(self) -> str:
        """Like `invoke`; a function that is not async runs in a thread."""
        try:
            if inspect.iscoroutinefunction(self.function):
                return _text(await self.function(**self.arguments))
            return _text(await asyncio.to_thread(self.function, **self.arguments))
        except ToolError as error:
            return mistake(str(error))


async def invoke_together(invocations: Sequence[Invocation]) -> list[str]:
    """The results in the order of the invocations. If one raises, the other async functions are cancelled and have
    ended before the exception is raised here; threads run on."""
    tasks = [asyncio.ensure_future(invocation.ainvoke()) for invocation in invocations]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ToolLoop:
    """Give it every answer (`take`) and every result (`give`), until it has a `run`.

    `messages` and `options` are the next request's. A `tool_choice` that forces a call holds only for the first round,
    or the model could never answer; a restriction to some tools stays.
    """

    def __init__(
        self, messages: Sequence[Message], tools: Mapping[str, Function], options: TurnOptions, max_rounds: int
    ) -> None:
        self.messages = list(messages)
        self.options: ChatOptions = {**options, "tools": [definition(name, tools[name]) for name in tools]}
        self.run: ToolRun | None = None
        self._tools = tools
        self._rounds_left = max_rounds

    def take(self, answer: Answer) -> list[Invocation]:
        """The functions to call now; none if this was the final answer. Raises ToolRoundsError."""
        self.messages.append(answer.message)
        if not answer.tool_calls:
            self.run = ToolRun(answer, tuple(self.messages))
            return []
        if self._rounds_left == 0:
            raise ToolRoundsError("the model keeps calling tools and gives no answer")
        self._rounds_left -= 1
        choice = self.options.pop("tool_choice", None)
        if isinstance(choice, Mapping) and (allowed := choice.get("allowed_tools")) is not None:
            self.options["tool_choice"] = {**choice, "allowed_tools": {**allowed, "mode": "auto"}}
        *calls, last = (self._invocation(call) for call in answer.tool_calls)
        if answer.choices[0].finish_reason == "length" and not last.call.arguments:
            last = Invocation(last.call, _fails(CUT_OFF), {})
        return [*calls, last]

    def give(self, invocation: Invocation, result: str) -> None:
        """Results must be given in the order of the calls."""
        content = result.encode("utf-8", "replace").decode()  # Half a surrogate pair cannot be sent.
        self.messages.append({"role": "tool", "tool_call_id": invocation.call.id, "content": content})

    def _invocation(self, call: ToolCall) -> Invocation:
        """The invocation of a call. The model may write anything: a mistake is reported to it as if by the tool."""
        function = self._tools.get(call.name)
        if function is None:
            return Invocation(call, _fails(f"there is no tool {call.name!r}, only {', '.join(self._tools)}"), {})
        try:
            arguments = json.loads(call.arguments or "{}")
            inspect.signature(function).bind(**arguments)
        except (ValueError, TypeError, RecursionError) as error:
            return Invocation(call, _fails(f"the arguments do not fit: {error}"), {})
        return Invocation(call, function, arguments)


def _fails(message: str) -> Function:
    def fail() -> None:
        raise ToolError(message)

    return fail


def mistake(message: str) -> str:
    """An error for the model in place of a result."""
    return json.dumps({"error": message}, ensure_ascii=False)


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
