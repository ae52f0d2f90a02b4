"""Blocks are finished when nothing can change them any more."""

from hypothesis import given
from hypothesis import strategies as st

from clients.chat.markdown import PARSER, split_blocks

LINES = [
    "word", "", "# head", "- item", "  more", "1. one", "> quote", "```", "~~~", "    code", "---", "===", "| a |",
    "|--|", "<b>", "*x", "\t", "***",
]  # fmt: skip


def pieces(text: str, cuts: list[int]) -> list[str]:
    """The finished parts in the order in which they are printed, when the text comes cut like this."""
    growing, printed = "", []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        growing += text[start:end]
        finished, growing = split_blocks(growing)
        printed.append(finished)
    return [*printed, growing]


@given(st.lists(st.sampled_from(LINES)), st.data())
def test_however_it_comes_it_reads_the_same(lines: list[str], data: st.DataObject) -> None:
    text = "\n".join(lines)
    cuts = data.draw(st.lists(st.integers(0, len(text))).map(sorted))
    parts = pieces(text, cuts)
    assert "".join(parts) == text
    in_parts = [(token.type, token.content) for part in parts for token in PARSER.parse(part)]
    assert in_parts == [(token.type, token.content) for token in PARSER.parse(text)]


def test_what_grows_is_one_block() -> None:
    assert pieces("a\n\nb\n\nc\n", [1, 4, 8]) == ["", "", "a\n\nb\n\n", "", "c\n"]
