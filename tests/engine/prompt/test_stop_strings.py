import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompt.stop_strings import StopStrings

# Few letters, so that stop strings overlap, contain each other and half-match.
TEXTS = st.text("ab😀", max_size=30)
STOPS = st.lists(st.text("ab😀", min_size=1, max_size=5), max_size=4)


def first_match(text: str, stops: list[str]) -> tuple[str, str | None]:
    """What is shown of a text and the match that ends first (the longest of several), by trying every end."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            longest = max(found, key=len)
            return text[: end - len(longest)], longest
    return text, None


@given(text=TEXTS, stops=STOPS, included=st.booleans(), data=st.data())
def test_any_chunking_gives_the_same(text, stops, included, data):
    edges = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    stop_strings = StopStrings(stops, included=included)
    shown, matched = first_match(text, stops)
    if included and matched is not None:
        shown += matched
    so_far = ""
    for start, end in zip([0, *edges], [*edges, len(text)], strict=True):
        so_far += stop_strings.feed(text[start:end])
        assert shown.startswith(so_far)
    assert so_far + stop_strings.flush() == shown
    assert stop_strings.matched == matched


@given(text=TEXTS, stops=STOPS)
def test_no_more_is_held_back_than_may_become_a_stop_string(text, stops):
    stop_strings = StopStrings(stops)
    shown = ""
    for position, char in enumerate(text, start=1):
        shown += stop_strings.feed(char)
        if stop_strings.matched is None:
            seen = text[:position]
            halves = [n for stop in stops for n in range(len(stop)) if seen.endswith(stop[:n])]
            assert len(seen) - len(shown) == max(halves, default=0)


def test_a_second_text_knows_nothing_of_the_first():
    first = StopStrings(["END"])
    first.feed("the EN")
    second = first.afresh()
    assert second.feed("D of") == "D of"
    assert first.feed("D") == ""
    assert (first.matched, second.matched, first.afresh().matched) == ("END", None, None)


def test_nothing_comes_after_a_match():
    stop_strings = StopStrings(["END"])
    assert stop_strings.feed("the END of it") == "the "
    assert stop_strings.feed("and more") == stop_strings.flush() == ""
    assert stop_strings.matched == "END"


@pytest.mark.parametrize(
    ("stops", "text", "shown", "matched"),
    [
        (["abc", "bc"], "xabcx", "x", "abc"),  # ending together: the longest
        (["abcd", "bc"], "xabcd", "xa", "bc"),  # the one that ends first
        (["aab"], "aaab", "a", "aab"),
        (["her", "she", "his"], "ushers", "u", "she"),
        ([], "text", "text", None),
    ],
)
def test_which_match_wins(stops, text, shown, matched):
    stop_strings = StopStrings(stops)
    assert stop_strings.feed(text) + stop_strings.flush() == shown
    assert stop_strings.matched == matched


def test_what_was_held_back_comes_with_the_flush():
    stop_strings = StopStrings(["stop"])
    assert stop_strings.feed("don't sto") == "don't "
    assert stop_strings.flush() == "sto"
    assert stop_strings.matched is None
