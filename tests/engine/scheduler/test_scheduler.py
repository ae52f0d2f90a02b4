"""The scheduler's decisions, in exact integers."""

from itertools import pairwise

import pytest

from engine.errors import MemoryPlanError
from engine.plan import Chunk, Released
from engine.request import Request, SamplingParams
from engine.scheduler.pages import PagePool
from engine.scheduler.scheduler import Scheduler


def request(name: str, prompt: int, priority: int = 0, max_tokens: int = 100, client: int = 0) -> Request:
    sampling = SamplingParams(max_tokens=max_tokens)
    return Request(id=name, prompt_token_ids=tuple(range(prompt)), sampling=sampling, priority=priority, client=client)


def scheduler(slots: int = 4, pages: int = 16, page_size: int = 4, budget: int = 8) -> Scheduler:
    return Scheduler(slots=slots, pages=pages, page_size=page_size, max_batched_tokens=budget)


def step(s: Scheduler) -> list[tuple[str, int, int, bool]]:
    """Plans and runs a step; every sampling chunk gets the token 7."""
    chunks = s.plan()
    for chunk in chunks:
        s[chunk.request_id].launch(chunk)
        if chunk.samples:
            s[chunk.request_id].arrive(7)
    return [(c.request_id, c.start, c.stop, c.samples) for c in chunks]


def test_a_prompt_runs_in_chunks_then_decodes() -> None:
    s = scheduler()
    s.add(request("a", 18))
    assert step(s) == [("a", 0, 8, False)]
    assert step(s) == [("a", 8, 16, False)]
    assert step(s) == [("a", 16, 18, True)]
    assert step(s) == [("a", 18, 19, True)]


def test_the_chunk_carries_its_tokens_slot_and_pages() -> None:
    s = scheduler()
    s.add(request("a", 10))
    assert s.plan() == [Chunk(request_id="a", token_ids=tuple(range(8)), start=0, slot=0, pages=(0, 1), samples=False)]


def test_decodes_keep_their_token_beside_a_long_prompt() -> None:
    s = scheduler()
    s.add(request("a", 2))
    assert step(s) == [("a", 0, 2, True)]
    s.add(request("b", 20))
    assert step(s) == [("a", 2, 3, True), ("b", 0, 7, False)]
    assert step(s) == [("a", 3, 4, True), ("b", 7, 14, False)]


def test_a_step_is_shared_by_several_prompts_oldest_first() -> None:
    s = scheduler()
    s.add(request("a", 3))
    s.add(request("b", 3))
    s.add(request("c", 3))
    assert step(s) == [("a", 0, 3, True), ("b", 0, 3, True), ("c", 0, 2, False)]
    assert step(s) == [("a", 3, 4, True), ("b", 3, 4, True), ("c", 2, 3, True)]


def test_a_lower_priority_number_goes_first() -> None:
    s = scheduler(slots=1)
    s.add(request("late", 2, priority=1))
    s.add(request("soon", 2, priority=0))
    s.add(request("last", 2, priority=1))
    assert [sequence.request.id for sequence in s.waiting] == ["soon", "late", "last"]


def served(s: Scheduler, count: int) -> list[str]:
    """Who is served next, one after another; each is over after its first token."""
    order = []
    for _ in range(count):
        ((name, *_),) = step(s)
        order.append(name)
        s.remove(name)
    return order


def test_clients_take_turns_whatever_they_ask_for() -> None:
    s = scheduler(slots=1)
    for name in ("a1", "a2", "a3"):
        s.add(request(name, 2, priority=-9, client=1))
    assert served(s, 1) == ["a1"]
    for name, priority in (("b1", 0), ("b2", 0), ("b3", -1)):
        s.add(request(name, 2, priority=priority, client=2))
    s.add(request("c1", 2, client=3))
    assert served(s, 6) == ["b3", "c1", "a2", "b1", "a3", "b2"]


def test_who_waits_is_overtaken_once_by_each_client_for_each_request_before_it() -> None:
    """However much the others send meanwhile."""
    s = scheduler(slots=1)
    for number in range(4):
        s.add(request(f"slow {number}", 2, client=1))
    order: list[str] = []
    for number in range(30):
        for client in (2, 3):
            s.add(request(f"{client} {number}", 2, priority=-number, client=client))
        order += served(s, 1)
    places = [order.index(f"slow {number}") for number in range(4)]
    assert all(later - earlier <= 3 for earlier, later in pairwise([-1, *places]))


def test_a_priority_does_not_go_before_what_another_client_has_running() -> None:
    """Neither for pages nor for the budget; among one client's own it does both."""
    for client, stays in ((1, "first"), (2, "soon")):
        s = scheduler(slots=2, pages=6)
        s.add(request("first", 6, max_tokens=12, client=2))
        step(s)
        s.add(request("soon", 6, max_tokens=12, priority=-9, client=client))
        while s.preemptions == 0:
            step(s)
        assert [sequence.request.id for sequence in s.running] == [stays]
    s = scheduler(slots=3, pages=100, budget=4)
    for name, priority, client in (("late", 9, 1), ("theirs", 0, 2), ("soon", -9, 1)):
        s.add(request(name, 30, priority=priority, client=client))
        s._admit()
    assert step(s) == [("soon", 0, 4, False)], "in its client's first place"
    s.remove("soon")
    assert step(s) == [("late", 0, 4, False)]
    s.remove("late")
    assert step(s) == [("theirs", 0, 4, False)]


def test_no_more_run_than_there_are_slots() -> None:
    s = scheduler(slots=2)
    for name in "abc":
        s.add(request(name, 1))
    assert [name for name, *_ in step(s)] == ["a", "b"]
    s.remove("a")
    assert [name for name, *_ in step(s)] == ["b", "c"]


def test_whoever_runs_could_take_another_page_when_a_prompt_is_admitted() -> None:
    s = scheduler(pages=2)
    s.add(request("a", 2))
    step(s)
    s.add(request("b", 4))
    assert step(s) == [("a", 2, 3, True)], "there is a page for b's prompt, and none beside it"
    s.remove("a")
    assert step(s) == [("b", 0, 4, True)]


def test_when_pages_run_out_the_last_one_is_preempted_and_recomputed() -> None:
    s = scheduler(slots=2, pages=4)
    s.add(request("a", 4))
    s.add(request("b", 4))
    assert step(s) == [("a", 0, 4, True), ("b", 0, 4, True)]
    for position in range(4, 8):
        assert step(s) == [("a", position, position + 1, True), ("b", position, position + 1, True)]
    assert s.pool.free == 0
    assert step(s) == [("a", 8, 9, True)]
    assert s.preemptions == 1
    assert s["b"].tokens == [0, 1, 2, 3, 7, 7, 7, 7, 7]
    assert s["b"].computed == 0
    assert s.take_released() == [Released(slot=1, pages=(1, 3))]
    s.remove("a")
    assert step(s) == [("b", 0, 8, False)]
    assert s["b"].pages == (3, 2)
    assert step(s) == [("b", 8, 9, True)]


def test_a_sequence_alone_is_never_starved_by_its_own_length() -> None:
    s = scheduler(slots=1, pages=3)
    s.add(request("a", 4))
    for _ in range(9):
        assert step(s)
    assert s["a"].computed == 12


def test_removing_frees_everything_wherever_the_request_stands() -> None:
    s = scheduler(slots=1)
    s.add(request("running", 9))
    s.add(request("waiting", 9))
    step(s)
    s.remove("waiting")
    s.remove("running")
    assert s.idle
    assert s.pool.free == s.pool.total
    assert s.free_slots == [0]
    assert step(s) == []


def test_a_request_that_writes_nothing_does_not_sample() -> None:
    s = scheduler()
    s.add(request("a", 3, max_tokens=0))
    assert step(s) == [("a", 0, 3, False)]


def test_a_page_is_given_back_once() -> None:
    pool = PagePool(2)
    pages = pool.take(2)
    with pytest.raises(MemoryPlanError, match="1 pages wanted, 0 of 2"):
        pool.take(1)
    pool.give_back(pages)
    with pytest.raises(MemoryPlanError, match="given back twice"):
        pool.give_back([pages[0]])
    assert (pool.free, pool.held) == (2, 0)
