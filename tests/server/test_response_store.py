"""What is kept of answers: bounded, the one not asked for longest goes first."""

import json
import tracemalloc
from contextlib import suppress
from random import Random

import pytest
from pydantic import TypeAdapter

from engine.errors import RequestError
from server.errors import UnknownResponseError
from server.response_store import ResponseStore, Shelf, made, weight
from server.schemas.input_items import (
    FunctionResult,
    InputItem,
    Item,
    ItemReference,
    PastFunctionCall,
    PastMessage,
    PastReasoning,
)
from server.schemas.response import Response

LIMIT = 2**20


def answer(name: str, status: str = "completed") -> Response:
    known = {"id", "status", "background"}
    return Response.model_construct(known, id=name, status=status, background=False)


def said(text: str, name: str | None = None) -> PastMessage:
    return PastMessage(role="user", content=text, id=name)


def kept(store: ResponseStore, names: str, key: int = 0) -> str:
    found = ""
    for name in names:
        with suppress(UnknownResponseError):
            found += store.get(name, key=key).response_id
    return found


def test_the_one_not_asked_for_longest_goes() -> None:
    store = ResponseStore(LIMIT)
    for name in "abc":
        assert store.keep(answer(name), [said(name * 300_000)], key=0)
    store.get("a", key=0)
    assert store.keep(answer("d"), [said("d" * 300_000)], key=0)
    assert kept(store, "bacd") == "acd"
    assert 900_000 < store.size < LIMIT
    assert store.keep(answer("a"), [said("short")], key=0)
    assert 600_000 < store.size < 700_000, "in the place of what there was"
    assert not store.keep(answer("e"), [said("e" * LIMIT)], key=0)
    assert kept(store, "acde") == "acd", "nothing had to go for what there is no room for"
    for name in "acd":
        store.delete(name, key=0)
    assert store.size == 0


def test_who_takes_most_loses_first() -> None:
    store = ResponseStore(LIMIT)
    store.keep(answer("a"), [said("a" * 300_000)], key=1)
    for name in "bcdef":
        assert store.keep(answer(name), [said(name * 300_000)], key=2)
    assert kept(store, "a", key=1) == "a"
    assert kept(store, "bcdef", key=2) == "ef"


def test_what_is_being_made_stays() -> None:
    store = ResponseStore(LIMIT)
    for name in "ab":
        assert store.keep(answer(name, "in_progress"), [said(name * 400_000)], key=0)
    assert not store.keep(answer("c"), [said("c" * 400_000)], key=0)
    assert store.keep(answer("d"), [said("d" * 100_000)], key=0)
    assert store.keep(answer("a"), [said("a" * 600_000)], key=0)
    assert kept(store, "abcd") == "ab", "its end has the room of others"
    assert store.keep(answer("b"), [said("b" * LIMIT)], key=0)
    assert (store.get("b", key=0).status, store.get("b", key=0).items) == ("failed", ())


@pytest.mark.parametrize("shared", [0, 20])
def test_no_more_memory_than_it_says(shared: int) -> None:
    """Of short items, which are mostly not their texts, of every kind and with what changes nothing; conversations
    share them, or not."""
    store = ResponseStore(LIMIT)
    useless = {"a": ["x" * 100] * 100}
    every = TypeAdapter(list[InputItem])
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    items: list[Item] = []
    for turn in range(1000):
        new = [
            {"role": "user", "content": f"question {turn}", "id": f"msg_{turn}"},
            {
                "type": "reasoning",
                "id": f"rs_{turn}",
                "summary": [{"type": "summary_text", "text": "x" * 10_000}],
                "content": f"{turn}",
            },
            {
                "type": "function_call",
                "id": f"fc_{turn}",
                "name": "f",
                "arguments": "{}",
                "call_id": f"{turn}",
                "parsed_arguments": useless,
            },
            {"type": "function_call_output", "id": f"fco_{turn}", "call_id": f"{turn}", "output": f"result {turn}"},
        ]
        items = [*items[len(items) - shared :], *every.validate_json(json.dumps(new))]
        store.keep(answer(f"resp_{turn}"), items, key=0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert store.size > LIMIT * 0.9
    assert held - before < LIMIT


def test_going_on() -> None:
    store = ResponseStore(LIMIT)
    first, second = said("a", "msg_1"), said("b", "msg_2")
    store.keep(answer("one"), [first, second], key=1)
    store.keep(answer("other"), [said("c", "msg_1")], key=2)
    more = said("c")
    assert store.conversation("one", [more], key=1, most=LIMIT)[0] == [first, second, more]
    reference = ItemReference(id="msg_1")
    items, size = store.conversation(None, [reference, more], key=1, most=LIMIT)
    assert (items, size) == ([first, more], weight(first)), "what came with the request is counted with it"
    refused = (("one", [more], 2), ("two", [more], 1), (None, [ItemReference(id="msg_2")], 2))
    for previous, given, key in refused:
        with pytest.raises(RequestError):
            store.conversation(previous, given, key=key, most=LIMIT)
    store.keep(answer("failed", "failed"), [first], key=1)
    with pytest.raises(RequestError, match="that response is failed"):
        store.conversation("failed", [more], key=1, most=LIMIT)
    with pytest.raises(UnknownResponseError):
        store.delete("one", key=2)


def test_an_item_is_that_of_the_answer_asked_for_last() -> None:
    """As if all were looked through, whatever has been put, asked for and dropped."""
    random, shelf = Random(0), Shelf()
    for turn in range(3000):
        name = random.choice("abcdef")
        if name not in shelf.kept:
            items = tuple(said(f"{turn} {at}", random.choice([None, "", *"uvwxyz"])) for at in range(4))
            shelf.put(made(answer(name), items))
        elif random.random() < 0.5:
            shelf.touch(name)
        else:
            shelf.drop(name)
        looked_through = {
            item.id: (holder, item) for holder, kept in shelf.kept.items() for item in kept.items if item.id
        }
        assert {name: found for name in "uvwxyz" if (found := shelf.named(name))} == looked_through
    for name in [*shelf.kept]:
        shelf.drop(name)
    assert (shelf.size, shelf.holders) == (0, {})


def test_a_reference_is_asking_for_its_answer() -> None:
    store = ResponseStore(LIMIT)
    for name in "abc":
        store.keep(answer(name), [said(name * 300_000, f"msg_{name}"), said(name, "msg")], key=0)
    both = [ItemReference(id="msg_a"), ItemReference(id="msg")]
    assert store.conversation(None, both, key=0, most=LIMIT)[0][1] == said("c", "msg"), "as it was before this one"
    assert store.conversation(None, both[1:], key=0, most=LIMIT)[0] == [said("c", "msg")]
    store.keep(answer("d"), [said("d" * 300_000)], key=0)
    assert kept(store, "abcd") == "acd"
    with pytest.raises(RequestError, match="no item 'msg_b' is kept"):
        store.conversation(None, [ItemReference(id="msg_b")], key=0, most=LIMIT)
    store.delete("c", key=0)
    assert store.conversation(None, both[1:], key=0, most=LIMIT)[0] == [said("a", "msg")]


def test_a_small_request_makes_no_large_conversation() -> None:
    store = ResponseStore(LIMIT)
    store.keep(answer("one"), [said("a" * 100_000, f"msg_{at}") for at in range(9)], key=0)
    with pytest.raises(RequestError, match="larger than 500000 bytes") as refused:
        store.conversation(None, [ItemReference(id=f"msg_{at}") for at in range(9)], key=0, most=500_000)
    assert refused.value.param == "input"
    with pytest.raises(RequestError, match="larger than 500000 bytes"):
        store.conversation("one", [said("more")], key=0, most=500_000)


def test_what_is_there_is_not_added_again() -> None:
    store = ResponseStore(LIMIT)
    first, more = said("a", "msg_1"), said("b", "msg_2")
    store.keep(answer("one"), [first], key=0)
    again = [ItemReference(id="msg_1"), said("a", "msg_1"), more, more, said("c"), said("c")]
    assert store.conversation("one", again, key=0, most=LIMIT)[0] == [first, more, said("c"), said("c")]
    assert store.conversation(None, [ItemReference(id="msg_1")] * 100, key=0, most=LIMIT)[0] == [first]
    other = said("other", "msg_1")
    assert store.conversation("one", [other], key=0, most=LIMIT)[0] == [first, other], "it only has the same name"
    call = PastFunctionCall(type="function_call", id="fc_1", call_id="a", name="f", arguments='{"a": 1}')
    thought = PastReasoning(type="reasoning", id="rs_1", content="Hm.")
    store.keep(answer("two"), [thought, call], key=0)
    echoed = [PastReasoning(type="reasoning", id="rs_1", encrypted_content="carousel:SG0u"),
              call.model_copy(update={"arguments": '{"a":1}', "status": "completed"})]  # fmt: skip
    assert store.conversation("two", [*echoed, more], key=0, most=LIMIT)[0] == [thought, call, more]
    result = FunctionResult(type="function_call_output", id="fc_1", call_id="a", output="x")
    assert store.conversation("two", [result], key=0, most=LIMIT)[0] == [thought, call, result], "another kind"
    nameless = [
        said("x", ""),
        said("y", ""),
        FunctionResult(type="function_call_output", id="", call_id="a", output=""),
    ]
    assert store.conversation(None, nameless, key=0, most=LIMIT)[0] == nameless
    with pytest.raises(RequestError, match="input is required"):
        store.conversation(None, [], key=0, most=LIMIT)
