"""What is kept of answers: bounded, the one not asked for longest goes first."""

import tracemalloc

import pytest

from engine.errors import RequestError
from server.errors import UnknownResponseError
from server.response_store import ResponseStore
from server.schemas.input_items import Item, ItemReference, PastMessage
from server.schemas.response import Response

LIMIT = 2**20


def answer(name: str, status: str = "completed") -> Response:
    return Response.model_construct({"id", "status", "background"}, id=name, status=status, background=False)


def said(text: str, name: str | None = None) -> PastMessage:
    return PastMessage(role="user", content=text, id=name)


def test_the_one_not_asked_for_longest_goes() -> None:
    store = ResponseStore(LIMIT)
    for name in "abc":
        store.keep(answer(name), [said(name * 300_000)], key=0)
    store.get("a", key=0)
    store.keep(answer("d"), [said("d" * 300_000)], key=0)
    assert [name for name in "abcd" if name in store] == ["a", "c", "d"]
    assert 900_000 < store.size < LIMIT
    store.keep(answer("a"), [said("short")], key=0)
    assert len(store) == 3
    assert 600_000 < store.size < 700_000, "in the place of what there was"
    store.keep(answer("e"), [said("e" * LIMIT)], key=0)
    assert "e" not in store
    assert len(store) == 3, "nothing had to go for what there is no room for"
    for name in "acd":
        store.delete(name, key=0)
    assert store.size == 0


def test_no_more_memory_than_it_says() -> None:
    """Of short items, which are mostly not their texts; a conversation that is gone on from shares them."""
    tracemalloc.start()
    store = ResponseStore(LIMIT)
    before, _ = tracemalloc.get_traced_memory()
    items: list[Item] = []
    for turn in range(2000):
        items = [*items[-20:], said(f"question {turn}", f"msg_{turn}"), said(f"answer {turn}")]
        store.keep(answer(f"resp_{turn}"), items, key=0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store) > 30
    assert held - before < LIMIT


def test_going_on() -> None:
    store = ResponseStore(LIMIT)
    first, second = said("a", "msg_1"), said("b", "msg_2")
    store.keep(answer("one"), [first, second], key=1)
    more = said("c")
    assert store.conversation("one", [more], key=1) == [first, second, more]
    reference = ItemReference(type="item_reference", id="msg_1")
    assert store.conversation(None, [reference, more], key=1) == [first, more]
    for previous, given, key in (("one", [more], 2), ("two", [more], 1), (None, [reference], 2)):
        with pytest.raises(RequestError):
            store.conversation(previous, given, key=key)
    store.keep(answer("failed", "failed"), [first], key=1)
    with pytest.raises(RequestError, match="that response is failed"):
        store.conversation("failed", [more], key=1)
    with pytest.raises(UnknownResponseError):
        store.delete("one", key=2)


def test_an_item_is_found_among_the_same_keys_only() -> None:
    store = ResponseStore(LIMIT)
    store.keep(answer("one"), [said("a", "msg_1")], key=1)
    store.keep(answer("two"), [said("b", "msg_1")], key=2)
    found = store.conversation(None, [ItemReference(type="item_reference", id="msg_1")], key=1)
    assert [item.content for item in found] == ["a"]
