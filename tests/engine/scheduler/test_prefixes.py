"""Prefixes that are kept: found, shared, bounded by what is free, given up for whoever runs; in exact integers."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.plan import Chunk, Restore
from engine.request import Request, SamplingParams
from engine.scheduler.prefixes import Prefixes
from engine.scheduler.scheduler import Scheduler

PAGE = 4


def scheduler(
    pages: int = 16, budget: int = 100, slots: int = 4, least: int = 3, spacing: int = 8, worth_waiting: int = 99
) -> Scheduler:
    made = Scheduler(slots=slots, pages=pages, page_size=PAGE, max_batched_tokens=budget, ring_pages=2)
    made.prefixes = Prefixes(made.pool, PAGE, 2, least=least, worth_waiting=worth_waiting, spacing=spacing)
    return made


def request(name: str, prompt: Sequence[int], *, client: int = 0, salt: str = "", **sampling: object) -> Request:
    params = SamplingParams(**{"max_tokens": 50} | sampling)  # type: ignore[arg-type]
    return Request(id=name, prompt_token_ids=tuple(prompt), sampling=params, client=client, cache_salt=salt)


def step(s: Scheduler) -> list[Chunk]:
    """Plans and runs a step; every sampling chunk gets the token 7."""
    chunks = s.plan()
    for chunk in chunks:
        s[chunk.request_id].launch(chunk)
        if chunk.samples:
            s.begun(chunk.request_id, s.plans)
            s[chunk.request_id].arrive(7)
    return chunks


def serve(s: Scheduler, asked: Request) -> Chunk:
    """The first chunk of a request that is alone, and over after its first token."""
    s.add(asked)
    first, *_ = step(s)
    while s[asked.id].written == 0:
        step(s)
    s.remove(asked.id)
    return first


def counts(s: Scheduler) -> tuple[int, int, int]:
    return s.pool.free, s.pool.held, s.pool.kept


def test_a_prompt_goes_on_from_where_it_parts_from_another() -> None:
    """Ten tokens take pages 0, 1 and the half of 2, their rings 3 and 4. A longer prompt shares the whole pages."""
    s = scheduler()
    first = serve(s, request("a", range(10)))
    assert (first.start, first.pages, first.restore, first.save) == (0, (0, 1, 2), None, (3, 4))
    assert counts(s) == (11, 0, 5)
    second = serve(s, request("b", [*range(10), 90, 91]))
    assert (second.start, second.token_ids, second.pages[:2]) == (10, (90, 91), (0, 1))
    assert second.pages[2] not in (0, 1, 2, 3, 4)
    assert second.restore == Restore(rings=(3, 4), page=2)
    assert not second.save, "two more tokens are not worth it"


def test_its_last_token_always_runs() -> None:
    s = scheduler()
    serve(s, request("a", range(10)))
    same = serve(s, request("same", range(10)))
    assert (same.start, same.token_ids, same.restore) == (9, (9,), Restore(rings=(3, 4), page=2))
    serve(s, request("b", range(100, 109)))
    whole = serve(s, request("to a page's beginning", range(100, 109)))
    assert (whole.start, whole.restore.page if whole.restore else 0) == (8, None)


def test_where_only_the_answers_last_token_is_to_come_something_runs() -> None:
    """Preempted while its only token is on its way, and admitted again: all of its prompt is kept."""
    s = scheduler()
    serve(s, request("a", range(10)))
    s.add(request("b", range(10), max_tokens=1))
    (chunk,) = s.plan()
    s["b"].launch(chunk)
    assert not s.plan()
    s._preempt(s["b"])
    (again,) = s.plan()
    assert (again.start, again.token_ids, again.samples) == (9, (9,), False)
    s["b"].launch(again)
    assert s["b"].arrive(7) == 1


def test_the_longest_that_fits_is_taken() -> None:
    s = scheduler(pages=40, least=4)
    for length in (4, 8, 12, 17):
        serve(s, request(f"{length}", range(length)))
    for length, start in ((3, 0), (4, 3), (5, 4), (8, 7), (9, 8), (12, 11), (13, 12), (17, 16), (18, 17), (30, 17)):
        assert serve(s, request("next", range(length))).start == start, length
    other = [*range(11), 99, 98]
    assert serve(s, request("other", other)).start == 8


def test_long_prompts_are_put_aside_on_the_way() -> None:
    s = scheduler(pages=40, budget=5, spacing=8)
    s.add(request("a", range(23)))
    saved = [(chunk.stop, bool(chunk.save)) for chunk in (step(s)[0] for _ in range(5))]
    assert saved == [(5, False), (10, True), (15, False), (20, True), (23, True)]
    s.remove("a")
    assert serve(s, request("b", [*range(12), 99, 98])).start == 10
    assert serve(s, request("c", [*range(22), 99])).start == 20


def test_where_prompts_part_the_next_one_goes_on() -> None:
    """The second one is seen to part from the first after 9 tokens; it stops at the whole pages of these. The third one
    goes on from there, and nobody has to stop there again."""
    s = scheduler(pages=60)
    serve(s, request("a", [*range(9), *range(50, 58)]))
    s.add(request("b", [*range(9), *range(60, 68)]))
    assert [(chunk.start, chunk.stop, bool(chunk.save)) for _ in range(2) for chunk in step(s)] == [
        (0, 8, True), (8, 17, True),
    ]  # fmt: skip
    s.remove("b")
    third = serve(s, request("c", [*range(9), *range(70, 78)]))
    assert (third.start, third.stop) == (8, 17)


def test_another_question_to_the_same_instructions_goes_on_from_their_end() -> None:
    """The first one stops there, the second need not, though both ask alike for a while."""
    s = scheduler(pages=60)
    instructions, alike = [*range(9)], [40, 41, 42]
    s.add(replace(request("a", [*instructions, *alike, *range(50, 58)]), instructions=9))
    assert [(chunk.start, chunk.stop, bool(chunk.save)) for _ in range(2) for chunk in step(s)] == [
        (0, 9, True), (9, 20, True),
    ]  # fmt: skip
    s.remove("a")
    second = serve(s, replace(request("b", [*instructions, *alike, *range(60, 68)]), instructions=9))
    assert (second.start, second.stop) == (9, 12), "and stops where the third may go on"
    third = serve(s, replace(request("c", [*instructions, *alike, *range(70, 78)]), instructions=9))
    assert (third.start, third.stop) == (12, 20)


def test_short_instructions_are_nothing_to_stop_for() -> None:
    s = scheduler(least=4)
    first = serve(s, replace(request("a", range(10)), instructions=3))
    assert (first.start, first.stop) == (0, 10)


def test_what_cannot_be_had_costs_nobody_his_prefix() -> None:
    s = scheduler(pages=12)
    serve(s, request("a", range(10)))
    s.add(request("runs", range(100, 110)))
    step(s)
    s.add(request("waits", range(200, 240)))
    before = counts(s)
    step(s)
    assert counts(s) == before
    assert s["waits"].slot is None
    assert s.prefixes is not None
    assert len(s.prefixes) == 2


def test_a_prompt_that_is_only_read_puts_nothing_aside() -> None:
    s = scheduler()
    s.add(request("a", range(10), max_tokens=0))
    (chunk,) = step(s)
    assert not chunk.save


def test_of_what_is_distrusted_nothing_is_kept() -> None:
    """But what it has gone on from."""
    s = scheduler(pages=40)
    serve(s, request("a", range(10)))
    s.add(request("b", range(20)))
    step(s)
    assert s.prefixes is not None
    assert [prefix.length for prefix in s.prefixes] == [10, 20]
    s.remove("b", distrusted=True)
    assert [prefix.length for prefix in s.prefixes] == [10]
    assert counts(s) == (35, 0, 5)


def test_nothing_is_kept_before_a_token_has_come() -> None:
    """Nor of a prompt that is given up: what was computed may be no numbers."""
    s = scheduler()
    s.add(request("a", range(10)))
    (chunk,) = s.plan()
    s["a"].launch(chunk)
    assert counts(s) == (11, 5, 0)
    s.remove("a")
    assert counts(s) == (16, 0, 0)
    assert serve(s, request("b", range(12))).start == 0


def test_who_runs_goes_before_what_is_kept() -> None:
    s = scheduler(pages=10)
    serve(s, request("a", range(12)))
    assert counts(s) == (5, 0, 5)
    s.add(request("b", range(50, 86)))
    (chunk,) = step(s)
    assert chunk.stop == 36
    assert (s.pool.kept, s.preemptions) == (0, 0)
    assert not chunk.save, "there is no room for it"


def test_what_was_put_aside_goes_before_anybody_is_preempted() -> None:
    s = scheduler(pages=8, budget=8)
    s.add(request("a", range(28)))
    for _ in range(4):
        step(s)
    assert s["a"].computed == 28
    assert s.preemptions == 0


def test_the_one_not_used_for_longest_goes_first() -> None:
    s = scheduler(pages=16)
    for name, first in (("a", 0), ("b", 100), ("c", 200)):
        serve(s, request(name, range(first, first + 9)))
    assert counts(s) == (1, 0, 15)
    assert serve(s, request("a again", [*range(9), 50])).start == 9
    assert serve(s, request("d", range(300, 309))).start == 0
    starts = [serve(s, request("x", [*range(first, first + 9), 50])).start for first in (0, 100)]
    assert starts == [9, 0]


def test_what_a_step_restores_from_is_not_handed_out_before_it() -> None:
    """Room for the second one is made of the prefix that the first one goes on from, but for its rings and its third
    page."""
    s = scheduler(pages=9)
    serve(s, request("a", range(9)))
    s.add(request("b", [*range(9), 50]))
    s.add(request("c", range(100, 110)))
    b, *others = s.plan()
    assert b.restore == Restore(rings=(3, 4), page=2)
    taken = {page for chunk in others for page in chunk.pages} | set(b.pages[2:])
    assert not taken & {2, 3, 4}
    assert s["b"].borrowed == (3, 4, 2)
    s.begun("b", s.plans - 1)
    assert s["b"].borrowed, "that was a token of an earlier step"
    s.begun("b", s.plans)
    assert not s["b"].borrowed


def test_room_beside_the_prefix_is_made_of_others() -> None:
    s = scheduler(pages=14)
    serve(s, request("a", range(9)))
    serve(s, request("b", range(100, 109)))
    assert counts(s) == (4, 0, 10)
    first = serve(s, request("c", [*range(9), *range(50, 66)]))
    assert (first.start, first.stop) == (9, 25)
    assert serve(s, request("d", [*range(100, 109), 50])).start == 0


def test_a_prefix_that_leaves_no_room_for_its_own_prompt_is_given_up() -> None:
    """Or nobody would ever run again: 25 tokens need 7 of the 9 pages, and the rings and the third page take 3."""
    s = scheduler(pages=9)
    serve(s, request("a", range(9)))
    first = serve(s, request("b", [*range(9), *range(50, 66)]))
    assert (first.start, first.stop, s.preemptions) == (0, 25, 0)


def test_what_others_have_put_aside_goes_before_anybody_is_preempted() -> None:
    """The second one comes first, and has put its rings aside on its way; then there is no page for the other's next
    token."""
    s = scheduler(pages=7, budget=9)
    s.add(replace(request("a", range(100, 103)), priority=1))
    step(s)
    s.add(request("b", range(16)))
    step(s)
    assert (len(s["b"].saved), s.pool.free) == (1, 2)
    assert [(chunk.request_id, chunk.stop) for chunk in step(s)] == [("b", 16), ("a", 5)]
    assert s.preemptions == 0


@pytest.mark.parametrize(("client", "salt", "start"), [(0, "", 9), (1, "", 0), (0, "x", 0)])
def test_nobody_finds_what_another_asked(client: int, salt: str, start: int) -> None:
    s = scheduler()
    serve(s, request("a", range(9)))
    assert serve(s, request("b", [*range(9), 50], client=client, salt=salt)).start == start


def test_a_prompt_that_is_scored_begins_at_its_beginning() -> None:
    s = scheduler()
    serve(s, request("a", range(9)))
    assert serve(s, request("b", [*range(9), 50], prompt_logprobs=0)).start == 0


def test_the_preempted_begins_again() -> None:
    """For all that was kept went before it."""
    s = scheduler(pages=8, slots=2)
    s.add(request("a", range(6)))
    step(s)
    s.add(request("b", range(100, 106)))
    step(s)
    while s.preemptions == 0:
        step(s)
    s.remove("a")
    assert [(chunk.request_id, chunk.start) for chunk in step(s)] == [("b", 0)]
    assert (s["b"].slot, s["b"].borrowed, s["b"].saved) == (0, (), [])


def places(chunks: Sequence[Chunk]) -> list[tuple[str, int, int]]:
    return [(chunk.request_id, chunk.start, len(chunk.token_ids)) for chunk in chunks]


def test_what_runs_already_is_waited_for() -> None:
    """Copies of a prompt of ten tokens go on from its end, once that is kept; another prompt does not wait."""
    s = scheduler(pages=40, budget=16, slots=8, worth_waiting=9)
    for name in "abc":
        s.add(request(name, range(10)))
    assert places(step(s)) == [("a", 0, 10)], "not two more cold"
    assert places(step(s)) == [("a", 10, 1), ("b", 9, 1), ("c", 9, 1)]
    s.add(request("d", [*range(9), 90, 91]))
    assert ("d", 0, 8) in places(step(s)), "it parts too early"


def test_what_it_is_worth_by_itself() -> None:
    """On the way through a prompt every 1024 tokens, but not 52 more at its end; 299 tokens are worth waiting for."""
    s = Scheduler(slots=4, pages=1000, page_size=16, max_batched_tokens=512, ring_pages=2)
    s.add(request("long", range(2100)))
    assert [chunk.stop for _ in range(5) for chunk in step(s) if chunk.save] == [1024, 2048]
    s.remove("long")
    for name in "ab":
        s.add(request(name, range(5000, 5300)))
    assert places(step(s)) == [("a", 0, 300)]
    assert places(step(s)) == [("a", 300, 1), ("b", 299, 1)]


def test_nobody_waits_for_too_little() -> None:
    """The last token of ten runs in any case."""
    for worth_waiting, together in ((9, False), (10, True)):
        s = scheduler(worth_waiting=worth_waiting)
        for name in "ab":
            s.add(request(name, range(10)))
        assert (len(step(s)) == 2) is together


def test_nobody_waits_for_who_takes_long() -> None:
    s = scheduler(pages=100, budget=16, worth_waiting=8)
    s.add(replace(request("a", range(60)), instructions=10))
    s.add(replace(request("b", [*range(10), 90, 91]), instructions=10))
    assert places(step(s)) == [("a", 0, 10), ("b", 0, 6)]


def test_nobody_waits_for_who_is_gone() -> None:
    s = scheduler(budget=8, worth_waiting=5)
    for name in "ab":
        s.add(request(name, range(10)))
    assert places(step(s)) == [("a", 0, 8)]
    s.remove("a")
    assert places(step(s)) == [("b", 0, 8)]


def test_a_prompt_to_be_scored_waits_for_nothing() -> None:
    s = scheduler(worth_waiting=5)
    s.add(request("a", range(10)))
    s.add(request("scored", range(10), prompt_logprobs=0))
    assert places(step(s)) == [("a", 0, 10), ("scored", 0, 10)]


def test_the_preempted_do_not_wait_for_a_prompt_that_is_one_token_longer() -> None:
    """That ends beyond theirs: they have no key of so many tokens."""
    s = scheduler(pages=12, least=99, worth_waiting=3)
    s.add(request("first", range(50, 60), client=1))
    step(s)
    s.add(request("a", range(11)))
    while s.preemptions == 0:
        step(s)
    assert s["a"].written
    s.remove("first")
    s.add(replace(request("b", range(12)), priority=-1))
    assert [name for name, *_ in places(step(s))] == ["b", "a"]


def test_without_ring_pages_nothing_is_kept() -> None:
    s = Scheduler(slots=2, pages=16, page_size=PAGE, max_batched_tokens=100)
    serve(s, request("a", range(10)))
    assert counts(s) == (16, 0, 0)
    assert serve(s, request("b", range(12))).start == 0
