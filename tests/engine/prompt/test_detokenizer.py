import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompt.detokenizer import Detokenizer


def spelled(tokenizer, data: bytes) -> list[int]:
    """One token a byte."""
    single = {tokenizer.token_bytes(i): i for i in range(tokenizer.vocab_size) if len(tokenizer.token_bytes(i)) == 1}
    return [single[bytes([byte])] for byte in data]


def cut(data, sequence):
    """A sequence, cut into random consecutive pieces."""
    edges = sorted(data.draw(st.lists(st.integers(0, len(sequence)), max_size=5)))
    return [sequence[a:b] for a, b in zip([0, *edges], [*edges, len(sequence)], strict=True)]


@given(data=st.data())
def test_pieces_join_to_the_whole(tokenizer, data):
    raw = data.draw(st.binary(max_size=30) | st.text(max_size=30).map(str.encode))
    ids = spelled(tokenizer, raw)
    for special in data.draw(st.lists(st.sampled_from(sorted(tokenizer.special_ids.values())), max_size=3)):
        ids.insert(data.draw(st.integers(0, len(ids))), special)
    skip = data.draw(st.booleans())
    detokenizer = Detokenizer(tokenizer, skip_special=skip)
    pieces = [detokenizer.feed(piece) for piece in cut(data, ids)]
    assert "".join([*pieces, detokenizer.flush()]) == tokenizer.decode(ids, skip_special=skip)


@given(text=st.text(max_size=20))
def test_only_whole_characters_come_out(tokenizer, text):
    detokenizer = Detokenizer(tokenizer)
    shown = ""
    for token_id in spelled(tokenizer, text.encode()):
        shown += detokenizer.feed([token_id])
        assert text.startswith(shown)
    assert shown == text
    assert detokenizer.flush() == ""


@pytest.mark.parametrize("emoji", ["😀", "👩‍👩‍👧", "日"])
def test_an_emoji_waits_for_its_last_byte(tokenizer, emoji):
    detokenizer = Detokenizer(tokenizer)
    *first, last = spelled(tokenizer, emoji.encode())
    held = "".join(detokenizer.feed([token_id]) for token_id in first)
    assert held == emoji[:-1]
    assert detokenizer.feed([last]) == emoji[-1]


def test_flush_shows_half_a_character_once(tokenizer):
    detokenizer = Detokenizer(tokenizer)
    assert detokenizer.feed(spelled(tokenizer, "a😀".encode()[:3])) == "a"
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.flush() == ""


def test_special_tokens_are_shown_on_demand(tokenizer):
    ids = tokenizer.encode_marked("a<|end|>b")
    assert Detokenizer(tokenizer).feed(ids) == "ab"
    assert Detokenizer(tokenizer, skip_special=False).feed(ids) == "a<|end|>b"
