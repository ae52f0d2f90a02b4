from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clients.sse import EventParser

STREAM = (
    "\ufeff: hello\n\ndata: one\n\nevent: x\nid: 7\ndata: tw\ndata:o 😀\n\n"
    ": ping\r\n\r\ndata: three\r\n\r\ndata\n\ndata: lost"
)


@given(st.lists(st.integers(0, len(STREAM.encode()))))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    content = STREAM.encode()
    edges = [0, *sorted(cuts), len(content)]
    parser = EventParser()
    pieces = [content[start:end] for start, end in pairwise(edges)]
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert events == ["one", "tw\no 😀", "three", ""]
