"""The output of `/v1/responses`: pieces in, items and their events out."""

from collections.abc import Callable, Iterator, Mapping

from server.schemas.chat_answer import TokenLogprob
from server.schemas.input_items import Status
from server.schemas.output_items import OutputItem
from server.schemas.response_events import AnyEvent, ItemEvent
from server.translate.assembler import Piece, Scored
from server.translate.output_items import OpenFunctionCall, OpenItem, OpenMessage, OpenReasoning


class Output:
    """Every message becomes an item: it is added with its first piece, and done when another one begins, or at `close`.

    `carry` puts reasoning into `encrypted_content`, too, `summarised` into `summary`. `scored` makes the report of a
    scored token. `names` maps the model's names of functions to their namespaces and names.
    """

    def __init__(
        self,
        *,
        carry: bool,
        summarised: bool,
        scored: Callable[[Scored], TokenLogprob],
        names: Mapping[str, tuple[str | None, str]],
    ) -> None:
        self._carry = carry
        self._summarised = summarised
        self._names = names
        self._scored = scored
        self._done: list[OutputItem] = []
        self._open: OpenItem | None = None
        self._kind: object = None

    @property
    def items(self) -> list[OutputItem]:
        """The items that are done."""
        return list(self._done)

    def add(self, piece: Piece) -> Iterator[AnyEvent]:
        if (kind := (piece.part, piece.call, piece.message)) != self._kind or self._open is None:
            if not piece.text and piece.call is None:
                return  # Scores of tokens without text.
            yield from self.close("completed")
            self._open, self._kind = self._begin(piece), kind
            added = self._open.item("in_progress")
            yield ItemEvent(type="response.output_item.added", output_index=len(self._done), item=added)
            yield from self._open.begin()
        if piece.text or piece.scored:
            yield from self._open.add(piece)

    def close(self, status: Status) -> Iterator[AnyEvent]:
        """Ends the open item, if there is one."""
        if self._open is not None:
            yield from self._open.end()
            item, index = self._open.item(status), len(self._done)
            self._open = None
            self._done.append(item)
            yield ItemEvent(type="response.output_item.done", output_index=index, item=item)

    def _begin(self, piece: Piece) -> OpenItem:
        index = len(self._done)
        if piece.call is not None:
            return OpenFunctionCall(index, *self._names.get(piece.call.name, (None, piece.call.name)))
        if piece.part == "reasoning":
            return OpenReasoning(index, carry=self._carry, summarised=self._summarised)
        return OpenMessage(index, self._scored, final=piece.final)
