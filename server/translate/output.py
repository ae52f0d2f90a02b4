"""The output of `/v1/responses`: pieces in, items and their events out."""

from collections.abc import Callable, Iterator, Mapping

from server.schemas.chat_answer import TokenLogprob
from server.schemas.input_items import Status
from server.schemas.output_items import OutputItem
from server.schemas.response_events import AnyEvent, ItemEvent
from server.translate.assembler import Piece, Scored
from server.translate.output_items import OpenFunctionCall, OpenItem, OpenMessage, OpenReasoning


class Output:
    """Every message is an item: added when its first piece comes, and done when another one begins, or at `close`.

    `carry`: reasoning is to be in `encrypted_content`, too; `summarised`: in `summary`. `scored` makes of a token's
    score what is reported of it. `names` are the namespaces and names of functions by what the model calls them.
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
        """Those that are done."""
        return list(self._done)

    def add(self, piece: Piece) -> Iterator[AnyEvent]:
        if (kind := (piece.part, piece.call, piece.message)) != self._kind or self._open is None:
            if not piece.text and piece.call is None:
                return  # Scores of tokens that no text has come of.
            yield from self.close("completed")
            self._open, self._kind = self._begin(piece), kind
            added = self._open.item("in_progress")
            yield ItemEvent(type="response.output_item.added", output_index=len(self._done), item=added)
            yield from self._open.begin()
        if piece.text or piece.scored:
            yield from self._open.add(piece)

    def close(self, status: Status) -> Iterator[AnyEvent]:
        """The item that is open, if one is, is over."""
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
