"""The items of an answer of `/v1/responses` while they are written, and their events."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypedDict
from uuid import uuid4

from server.schemas.chat_answer import TokenLogprob
from server.schemas.input_items import Phase, Status
from server.schemas.output_items import (
    FunctionCallItem,
    MessageItem,
    OutputItem,
    ReasoningItem,
    ReasoningPart,
    SummaryText,
    TextPart,
)
from server.schemas.response_events import (
    AnyEvent,
    ArgumentsDeltaEvent,
    ArgumentsDoneEvent,
    PartEvent,
    ReasoningDeltaEvent,
    ReasoningDoneEvent,
    SummaryDeltaEvent,
    SummaryDoneEvent,
    SummaryPartEvent,
    TextDeltaEvent,
    TextDoneEvent,
)
from server.translate.assembler import Piece, Scored
from server.translate.carried import carried

PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "function_call_output": "fco_"}


def new_id(kind: str) -> str:
    """An id for an item of this type."""
    return f"{PREFIXES[kind]}{uuid4().hex}"


class Place(TypedDict):
    """The place of an event in the answer."""

    item_id: str
    output_index: int


class PartPlace(Place):
    """The place of an event in a text; items have one part."""

    content_index: int


class SummaryPlace(Place):
    """The place of an event in a summary; summaries have one part."""

    summary_index: int


class OpenItem(Protocol):
    """An item that is being written."""

    def begin(self) -> Sequence[AnyEvent]:
        """The events after the item was added."""
        ...

    def add(self, piece: Piece) -> Sequence[AnyEvent]: ...

    def end(self) -> Sequence[AnyEvent]:
        """The events before the item is done."""
        ...

    def item(self, status: Status) -> OutputItem:
        """The item so far."""
        ...


class OpenReasoning:
    """Reasoning. `carry` puts the text into `encrypted_content`, too; `summarised` makes it its own summary, too."""

    def __init__(self, index: int, *, carry: bool, summarised: bool) -> None:
        self._place = PartPlace(item_id=new_id("reasoning"), output_index=index, content_index=0)
        self._summary = SummaryPlace(item_id=self._place["item_id"], output_index=index, summary_index=0)
        self._carry = carry
        self._summarised = summarised
        self._texts: list[str] = []

    def begin(self) -> Sequence[AnyEvent]:
        events: list[AnyEvent] = [PartEvent(type="response.content_part.added", **self._place, part=self._part())]
        if self._summarised:
            part = SummaryText(type="summary_text", text="")
            events.append(SummaryPartEvent(type="response.reasoning_summary_part.added", **self._summary, part=part))
        return events

    def add(self, piece: Piece) -> Sequence[AnyEvent]:
        self._texts.append(piece.text)
        events: list[AnyEvent] = [
            ReasoningDeltaEvent(type="response.reasoning_text.delta", **self._place, delta=piece.text)
        ]
        if self._summarised:
            said = SummaryDeltaEvent(type="response.reasoning_summary_text.delta", **self._summary, delta=piece.text)
            events.append(said)
        return events

    def end(self) -> Sequence[AnyEvent]:
        part = self._part()
        events: list[AnyEvent] = [
            ReasoningDoneEvent(type="response.reasoning_text.done", **self._place, text=part.text),
            PartEvent(type="response.content_part.done", **self._place, part=part),
        ]
        if self._summarised:
            whole = SummaryText(type="summary_text", text=part.text)
            events += [
                SummaryDoneEvent(type="response.reasoning_summary_text.done", **self._summary, text=part.text),
                SummaryPartEvent(type="response.reasoning_summary_part.done", **self._summary, part=whole),
            ]
        return events

    def item(self, status: Status) -> OutputItem:
        item = ReasoningItem(type="reasoning", id=self._place["item_id"], status=status, summary=[], content=[])
        if self._texts:
            item.content = [self._part()]
            if self._summarised:
                item.summary = [SummaryText(type="summary_text", text="".join(self._texts))]
        if self._carry:
            item.encrypted_content = carried("".join(self._texts))
        return item

    def _part(self) -> ReasoningPart:
        return ReasoningPart(type="reasoning_text", text="".join(self._texts))


class OpenMessage:
    """A message. `scored` makes the report of a scored token. `final`: the message is the answer and no preamble."""

    def __init__(self, index: int, scored: Callable[[Scored], TokenLogprob], *, final: bool) -> None:
        self._place = PartPlace(item_id=new_id("message"), output_index=index, content_index=0)
        self._scored = scored
        self._phase: Phase = "final_answer" if final else "commentary"
        self._texts: list[str] = []
        self._logprobs: list[TokenLogprob] = []

    def begin(self) -> Sequence[AnyEvent]:
        return [PartEvent(type="response.content_part.added", **self._place, part=self._part())]

    def add(self, piece: Piece) -> Sequence[AnyEvent]:
        logprobs = [self._scored(token) for token in piece.scored]
        self._texts.append(piece.text)
        self._logprobs += logprobs
        return [TextDeltaEvent(type="response.output_text.delta", **self._place, delta=piece.text, logprobs=logprobs)]

    def end(self) -> Sequence[AnyEvent]:
        part = self._part()
        return [
            TextDoneEvent(type="response.output_text.done", **self._place, text=part.text, logprobs=part.logprobs),
            PartEvent(type="response.content_part.done", **self._place, part=part),
        ]

    def item(self, status: Status) -> OutputItem:
        content = [self._part()] if self._texts else []
        return MessageItem(
            type="message",
            id=self._place["item_id"],
            status=status,
            role="assistant",
            phase=self._phase,
            content=content,
        )

    def _part(self) -> TextPart:
        return TextPart(type="output_text", text="".join(self._texts), annotations=[], logprobs=list(self._logprobs))


class OpenFunctionCall:
    """A call, whose arguments come piece by piece. `namespace` is that of the function, None if it has none."""

    def __init__(self, index: int, namespace: str | None, name: str) -> None:
        self._place = Place(item_id=new_id("function_call"), output_index=index)
        self._call_id = f"call_{uuid4().hex}"
        self._namespace, self._name = namespace, name
        self._texts: list[str] = []

    def begin(self) -> Sequence[AnyEvent]:
        return []

    def add(self, piece: Piece) -> Sequence[AnyEvent]:
        self._texts.append(piece.text)
        return [ArgumentsDeltaEvent(type="response.function_call_arguments.delta", **self._place, delta=piece.text)]

    def end(self) -> Sequence[AnyEvent]:
        return [
            ArgumentsDoneEvent(
                type="response.function_call_arguments.done",
                **self._place,
                name=self._name,
                arguments="".join(self._texts),
            )
        ]

    def item(self, status: Status) -> OutputItem:
        item = FunctionCallItem(
            type="function_call",
            id=self._place["item_id"],
            status=status,
            call_id=self._call_id,
            name=self._name,
            arguments="".join(self._texts),
        )
        if self._namespace is not None:
            item.namespace = self._namespace
        return item
