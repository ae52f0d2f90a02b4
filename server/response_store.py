"""Answers of `/v1/responses` that are kept, to be asked for again and to be gone on from."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from sys import getsizeof

from engine.errors import QueueFullError, RequestError
from server.errors import UnknownResponseError
from server.schemas.input_items import (
    FunctionResult,
    InputItem,
    Item,
    ItemReference,
    PastFunctionCall,
    PastMessage,
    PastReasoning,
)
from server.schemas.response import Response, ResponseFailure

ITEM_BYTES = 1024
"""About what an item takes beside its texts."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as JSON, and the `items` that go before the next turn: the conversation up to it, of so many as were
    `given`, and its own."""

    response_id: str
    status: str
    background: bool
    body: bytes
    items: tuple[Item, ...]
    given: int
    size: int

    @property
    def names(self) -> set[str]:
        """Those of the items that have one."""
        return {item.id for item in self.items if item.id}


@dataclass(slots=True)
class Shelf:
    """The answers of one key; the one that was asked for last comes last.

    `holders` has the answers that hold an item, by its name, in the same order, each with its last item of that name.
    """

    kept: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    holders: dict[str, dict[str, Item]] = field(default_factory=dict)
    size: int = 0

    def put(self, answer: Kept) -> None:
        """An answer that is not there; it counts as asked for."""
        self.kept[answer.response_id] = answer
        self.size += answer.size
        for item in answer.items:
            if item.id:
                self.holders.setdefault(item.id, {})[answer.response_id] = item

    def drop(self, response_id: str) -> Kept | None:
        answer = self.kept.pop(response_id, None)
        if answer is not None:
            self.size -= answer.size
            for name in answer.names:
                del self.holders[name][response_id]
                if not self.holders[name]:
                    del self.holders[name]
        return answer

    def touch(self, response_id: str) -> Kept:
        """An answer that is there, and is asked for."""
        answer = self.kept[response_id]
        self.kept.move_to_end(response_id)
        for name in answer.names:
            self.holders[name][response_id] = self.holders[name].pop(response_id)
        return answer

    def named(self, name: str) -> tuple[str, Item] | None:
        """The item of that name in the answer that was asked for last, of those that hold one, and that answer."""
        return next(reversed(self.holders.get(name, {}).items()), None)

    def oldest(self) -> Kept | None:
        """The one not asked for longest, of those that are not being made."""
        return next((answer for answer in self.kept.values() if answer.status != "in_progress"), None)


class ResponseStore:
    """Holds `limit` bytes of answers and their conversations. Where there is no more room, the key that takes most of
    it loses the answer that was not asked for longest. A key finds its own only.

    A conversation counts for each of its answers, though they share its items: no more is held than that.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._shelves: dict[int, Shelf] = {}

    @property
    def size(self) -> int:
        return sum(shelf.size for shelf in self._shelves.values())

    def begin(self, response: Response, given: Sequence[Item], *, key: int) -> None:
        """Keeps an answer that is under way, so that it can be asked for. Raises RequestError if it is larger than all
        that may be kept, QueueFullError if what is being made leaves no room for it."""
        if self.keep(response, given, key=key):
            return
        if made(response, given).size > self._limit:
            raise RequestError(f"background: more than the {self._limit} bytes that are kept", param="background")
        raise QueueFullError("the answers that are being made in the background fill the memory for answers")

    def keep(self, response: Response, given: Sequence[Item], own: Sequence[Item] = (), *, key: int) -> bool:
        """In the place of what was kept by that id, if there can be room for it: the answer, the items it was given and
        its own. Whoever was told that his answer is being made finds at least that it could not be kept."""
        answer = made(response, given, own)
        shelf = self._shelves.setdefault(key, Shelf())
        before = shelf.drop(response.id)
        if self._make_room(answer.size):
            shelf.put(answer)
            return True
        if before is None or not answer.items:
            return False
        failure = ResponseFailure(code="server_error", message="there is no room to keep the answer")
        lost = response.model_copy(update={"status": "failed", "output": [], "error": failure})
        return self.keep(lost, (), key=key)

    def get(self, response_id: str, *, key: int) -> Kept:
        """Raises UnknownResponseError."""
        shelf = self._shelf(key)
        if response_id not in shelf.kept:
            raise UnknownResponseError(f"no response {response_id[:200]!r} is kept")
        return shelf.touch(response_id)

    def delete(self, response_id: str, *, key: int) -> None:
        """Raises UnknownResponseError."""
        self._shelf(key).drop(self.get(response_id, key=key).response_id)

    def conversation(
        self, previous: str | None, given: Sequence[InputItem], *, key: int, most: int
    ) -> tuple[list[Item], int]:
        """The items of the conversation that `previous` ends, and those given, and how many bytes of it are kept here.
        An item is not added again if one of its name is there that says the same, or if it comes by its name alone
        (`name_only`). Reasoning without its text is replaced by what is kept by its name.

        Raises RequestError for an answer or an item that is not kept, an answer that is not there yet, and a
        conversation of nothing, or of more than `most` bytes.
        """
        items = list(self._before(previous, key))
        size, there = sum(map(weight, items)), {item.id: said(item) for item in items if item.id}
        shelf, asked = self._shelf(key), list[str]()
        found = {name: place for item in given if (name := name_only(item)) and (place := shelf.named(name))}
        for at, item in enumerate(given):
            name = name_only(item)
            if item.id in there and (name is not None or said(item) == there[item.id]):
                continue
            if name in found:
                response_id, item = found[name]
                asked.append(response_id)
                size += weight(item)
            elif isinstance(item, ItemReference):
                raise RequestError(f"input[{at}]: no item {item.id[:200]!r} is kept", param=f"input[{at}].id")
            items.append(item)
            if item.id:
                there[item.id] = said(item)
            if size > most:
                raise RequestError(f"input: the conversation is larger than {most} bytes", param="input")
        for response_id in reversed(dict.fromkeys(reversed(asked))):
            shelf.touch(response_id)
        if not items:
            raise RequestError("input is required", param="input", code="missing_required_parameter")
        return items, size

    def _shelf(self, key: int) -> Shelf:
        return self._shelves.get(key, Shelf())

    def _before(self, previous: str | None, key: int) -> Sequence[Item]:
        if previous is None:
            return ()
        name = "previous_response_id"
        try:
            kept = self.get(previous, key=key)
        except UnknownResponseError as error:
            raise RequestError(f"{name}: {error}", param=name, code="previous_response_not_found") from error
        if kept.status not in ("completed", "incomplete"):
            raise RequestError(f"{name}: that response is {kept.status}", param=name)
        return kept.items

    def _make_room(self, size: int) -> bool:
        while self.size + size > self._limit:
            droppable = [shelf for shelf in self._shelves.values() if shelf.oldest() is not None]
            if size > self._limit or not droppable:
                return False
            largest = max(droppable, key=lambda shelf: shelf.size)
            oldest = largest.oldest()
            assert oldest is not None
            largest.drop(oldest.response_id)
        return True


def made(response: Response, given: Sequence[Item], own: Sequence[Item] = ()) -> Kept:
    """An answer as it is kept."""
    body, items = response.model_dump_json(exclude_unset=True).encode(), (*given, *own)
    size = len(body) + sum(map(weight, items))
    return Kept(response.id, response.status, response.background, body, items, len(given), size)


def name_only(item: InputItem) -> str | None:
    """The name of an item that is to be found by it: a reference, or reasoning without its text."""
    if isinstance(item, PastReasoning) and not item.content and item.encrypted_content is None:
        return item.id
    return item.id if isinstance(item, ItemReference) else None


def said(item: InputItem) -> tuple[str | None, ...]:
    """By what an item of a name is known again: what a message says, the name of a call; reasoning needs no more."""
    match item:
        case PastMessage():
            return item.type, item.role, item.content
        case PastFunctionCall() | FunctionResult():
            return item.type, item.call_id
        case _:
            return (item.type,)


def weight(item: Item) -> int:
    """About how many bytes an item takes."""
    return ITEM_BYTES + sum(getsizeof(value) for value in vars(item).values() if isinstance(value, str))
