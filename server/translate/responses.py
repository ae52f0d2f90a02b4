"""`/v1/responses`: from token events to its answer, whole or as a stream of events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import time
from typing import Literal

from engine.streams import EventStream
from server.errors import error_body
from server.frames import frame
from server.schemas.input_items import Item, PastFunctionCall, PastMessage, PastReasoning
from server.schemas.output_items import FunctionCallItem, MessageItem, OutputItem, ReasoningItem
from server.schemas.response import (
    Incompleteness,
    InputTokensDetails,
    ReasoningSettings,
    Response,
    ResponseFailure,
    ResponseStatus,
    ResponseUsage,
    TextSettings,
)
from server.schemas.response_events import AnyEvent, ResponseStateEvent
from server.schemas.response_request import ENCRYPTED_REASONING, ResponseRequest
from server.schemas.response_tools import functions, qualified
from server.schemas.usage import Usage
from server.translate.answer import Identity
from server.translate.chat import ChatAnswer
from server.translate.made_by_chat import MadeByChat
from server.translate.output import Output


class ResponseAnswer(MadeByChat):
    """One answer, made by `chat`, which is the request as a chat. `keep` is called with the answer when it is complete,
    cut off, failed or cancelled.
    """

    def __init__(
        self, identity: Identity, body: ResponseRequest, chat: ChatAnswer, keep: Callable[[Response], bool]
    ) -> None:
        super().__init__(chat)
        self._identity = identity
        self._body = body
        self._keep = keep
        names = {qualified(space, function.name): (space, function.name) for space, function in functions(body.tools)}
        self._output = Output(
            carry=ENCRYPTED_REASONING in body.include,
            summarised=body.reasoning.summary_told is not None,
            scored=chat.scored,
            names=names,
        )
        self._sent = 0
        self._ended = False

    async def stream(self, events: EventStream) -> AsyncGenerator[bytes, None]:
        """The events of a streamed answer."""
        async with aclosing(self._events(events)) as told:
            try:
                async for event in told:
                    yield self._frame(event)
            except (
                GeneratorExit,
                asyncio.CancelledError,
            ):  # The client left, but its next turn may refer to this one.
                if not self._ended:
                    self.cancel()
                raise

    async def collect(self, events: EventStream) -> Response:
        """The whole answer, which is in the last event of its stream."""
        async with aclosing(self._events(events)) as told:
            async for event in told:
                last = event
        assert isinstance(last, ResponseStateEvent)
        return last.response

    def ending(self, error: Exception | None) -> bytes:
        """The end of a stream: the failed answer, if there is an error."""
        if error is None:
            return b""
        frames = [self._frame(event) for event in self._output.close("incomplete")]
        failed = self.fail(error)
        return b"".join([*frames, self._frame(ResponseStateEvent(type="response.failed", response=failed))])

    def fail(self, error: Exception) -> Response:
        """Keeps the answer so far as a failed one, and returns it."""
        list(self._output.close("incomplete"))
        failed = self.response("failed")
        failed.error = ResponseFailure(code="server_error", message=error_body(error)["error"]["message"])
        self._keep(failed)
        return failed

    def cancel(self) -> None:
        """Keeps the answer so far as a cancelled one."""
        list(self._output.close("incomplete"))
        self._keep(self.response("cancelled"))

    def response(self, status: ResponseStatus) -> Response:
        """The answer so far."""
        body = self._body
        choice, sampling = body.tool_choice, self.requests[0].sampling
        return Response(
            id=self._identity["id"],
            object="response",
            created_at=self._identity["created"],
            completed_at=int(time()) if status == "completed" else None,
            status=status,
            error=None,
            incomplete_details=Incompleteness(reason="max_output_tokens") if status == "incomplete" else None,
            model=self._identity["model"],
            system_fingerprint=self._identity["system_fingerprint"],
            output=self._output.items,
            usage=None if status == "in_progress" else response_usage(self.usage),
            instructions=body.instructions,
            previous_response_id=body.previous_response_id,
            max_output_tokens=body.max_output_tokens,
            max_tool_calls=body.max_tool_calls,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_logprobs=body.top_logprobs,
            reasoning=ReasoningSettings(effort=body.reasoning.effort, summary=body.reasoning.summary_told),
            text=TextSettings(
                format=body.text.format.model_dump(by_alias=True, exclude_unset=True), verbosity="medium"
            ),
            tools=[tool.model_dump(exclude_unset=True) for tool in body.tools],
            tool_choice=choice if isinstance(choice, str) else choice.model_dump(exclude_unset=True),
            parallel_tool_calls=body.parallel_tool_calls,
            truncation=body.truncation,
            store=body.store,
            background=body.background,
            metadata=body.metadata or {},
            user=body.user,
            safety_identifier=body.safety_identifier,
            prompt_cache_key=body.prompt_cache_key,
        )

    async def _events(self, events: EventStream) -> AsyncGenerator[AnyEvent, None]:
        yield ResponseStateEvent(type="response.created", response=self.response("in_progress"))
        yield ResponseStateEvent(type="response.in_progress", response=self.response("in_progress"))
        async with aclosing(self._chat.pieces(events)) as read:
            async for _, pieces in read:
                for piece in pieces:
                    for event in self._output.add(piece):
                        yield event
        (choice,) = self.choices
        complete = choice.finish_reason != "length"
        for event in self._output.close("completed" if complete else "incomplete"):
            yield event
        response = self.response("completed" if complete else "incomplete")
        self._keep(response)
        self._ended = True
        end: Literal["response.completed", "response.incomplete"]
        end = "response.completed" if complete else "response.incomplete"
        yield ResponseStateEvent(type=end, response=response)

    def _frame(self, event: AnyEvent) -> bytes:
        event.sequence_number = self._sent
        self._sent += 1
        return frame(event.model_dump_json(exclude_unset=True), event.type)


def past(item: OutputItem) -> Item:
    """An answer's item as input of the next turn."""
    match item:
        case ReasoningItem():
            return PastReasoning(type="reasoning", id=item.id, content="".join(part.text for part in item.content))
        case MessageItem():
            text = "".join(part.text for part in item.content)
            return PastMessage(type="message", id=item.id, role="assistant", content=text)
        case FunctionCallItem():
            return PastFunctionCall(
                type="function_call",
                id=item.id,
                call_id=item.call_id,
                namespace=item.namespace,
                name=item.name,
                arguments=item.arguments,
            )


def response_usage(usage: Usage) -> ResponseUsage:
    """The usage with the names of `/v1/responses`."""
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=usage.prompt_tokens_details.cached_tokens, cache_write_tokens=0
        ),
        output_tokens=usage.completion_tokens,
        output_tokens_details=usage.completion_tokens_details,
        total_tokens=usage.total_tokens,
    )
