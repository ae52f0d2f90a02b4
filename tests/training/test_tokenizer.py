from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from training.config import TrainingConfig
from training.tokenizer import SPECIAL_TOKENS, train_tokenizer

SHIPPED = Tokenizer.from_file(str(Path("engine/embedded/tokenizer.json")))


def without_marks(text: str) -> bool:
    return not any(token in text for token in SPECIAL_TOKENS)


@given(st.text().filter(without_marks))
def test_any_text_round_trips(text: str) -> None:
    assert SHIPPED.decode(SHIPPED.encode(text).ids) == text


@pytest.mark.parametrize(
    "text", ["🎠 héllo  wörld\n\n\t x", "a\r\nb", "日本語", "it's 12345.678", "\x00\ufffd", " " * 50]
)
def test_awkward_texts_round_trip(text: str, tiny_tokenizer: Tokenizer) -> None:
    for tokenizer in (tiny_tokenizer, SHIPPED):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_special_tokens_are_single_ids_at_the_end(tiny_tokenizer: Tokenizer, tiny_config: TrainingConfig) -> None:
    size = tiny_config.shape.vocab_size
    ids = [tiny_tokenizer.encode(token).ids for token in SPECIAL_TOKENS]
    assert ids == [[size - len(SPECIAL_TOKENS) + i] for i in range(len(SPECIAL_TOKENS))]
    assert tiny_tokenizer.decode([each[0] for each in ids]) == ""
    assert tiny_tokenizer.decode([ids[0][0]], skip_special_tokens=False) == SPECIAL_TOKENS[0]


def test_the_vocabulary_is_full_and_no_part_of_a_mark_was_learnt(tiny_tokenizer: Tokenizer) -> None:
    assert sorted(tiny_tokenizer.get_vocab().values()) == list(range(400))
    assert {token for token in tiny_tokenizer.get_vocab() if "|" in token} == {"|", *SPECIAL_TOKENS}


def test_numbers_are_cut_after_three_digits(tiny_tokenizer: Tokenizer) -> None:
    pieces = [piece for piece, _ in tiny_tokenizer.pre_tokenizer.pre_tokenize_str("12345 it's")]
    assert pieces == ["123", "45", "Ġit's"]


def test_training_is_deterministic() -> None:
    texts = ["the cat and the dog and the hen and the cow", "once upon a time there was a time"] * 3
    assert train_tokenizer(texts, 275).to_str() == train_tokenizer(texts, 275).to_str()


def test_texts_too_poor_for_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="1000 are wanted"):
        train_tokenizer(["aa"], 1000)
