"""Answers of `/v1/responses` that are kept, to be asked for again and to be gone on from."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from sys import getsizeof

from engine.errors import RequestError
from server.errors import UnknownResponseError
from server.schemas.input_items import InputItem, Item, ItemReference
from server.schemas.response import Response

ITEM_BYTES = 1024
"""About what an item takes beside its texts."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as JSON, whose `key` made it, and the `items` that go before the next turn: the conversation up to it
    and its own."""

    response_id: str
    status: str
    background: bool
    body: bytes
    key: int
    items: tuple[Item, ...]
    size: int


class ResponseStore:
    """Holds `limit` bytes of answers and their conversations; the one that was not asked for longest goes first.

    A conversation counts for each of its answers, though they share its items: no more is held than that. Whoever shows
    another key finds nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, response_id: str) -> bool:
        return response_id in self._kept

    def keep(self, response: Response, items: Iterable[Item], *, key: int) -> None:
        """In the place of what was kept by that id. What is larger than all there is room for is not kept."""
        whole = tuple(items)
        body = response.model_dump_json(exclude_unset=True).encode()
        size = len(body) + sum(map(weight, whole))
        self._drop(response.id)
        if size > self._limit:
            return
        self._kept[response.id] = Kept(response.id, response.status, response.background, body, key, whole, size)
        self.size += size
        while self.size > self._limit:
            self._drop(next(iter(self._kept)))

    def get(self, response_id: str, *, key: int) -> Kept:
        """Raises UnknownResponseError."""
        kept = self._kept.get(response_id)
        if kept is None or kept.key != key:
            raise UnknownResponseError(f"no response {response_id[:200]!r} is kept")
        self._kept.move_to_end(response_id)
        return kept

    def delete(self, response_id: str, *, key: int) -> None:
        """Raises UnknownResponseError."""
        self._drop(self.get(response_id, key=key).response_id)

    def conversation(self, previous: str | None, given: Sequence[InputItem], *, key: int) -> list[Item]:
        """The items of the conversation that `previous` ends, and those given.

        Raises RequestError for an answer or an item that is not kept, and an answer that is not there yet.
        """
        return [*self._before(previous, key), *(self._resolved(item, at, key) for at, item in enumerate(given))]

    def _before(self, previous: str | None, key: int) -> Sequence[Item]:
        if previous is None:
            return ()
        field = "previous_response_id"
        try:
            kept = self.get(previous, key=key)
        except UnknownResponseError as error:
            raise RequestError(f"{field}: {error}", param=field, code="previous_response_not_found") from error
        if kept.status not in ("completed", "incomplete"):
            raise RequestError(f"{field}: that response is {kept.status}", param=field)
        return kept.items

    def _resolved(self, item: InputItem, at: int, key: int) -> Item:
        if not isinstance(item, ItemReference):
            return item
        for kept in reversed(self._kept.values()):
            if kept.key == key:
                for each in reversed(kept.items):
                    if each.id == item.id:
                        return each
        raise RequestError(f"input[{at}]: no item {item.id[:200]!r} is kept", param=f"input[{at}].id")

    def _drop(self, response_id: str) -> None:
        if (kept := self._kept.pop(response_id, None)) is not None:
            self.size -= kept.size


def weight(item: Item) -> int:
    """About how many bytes an item takes."""
    return ITEM_BYTES + sum(getsizeof(value) for value in vars(item).values() if isinstance(value, str))
