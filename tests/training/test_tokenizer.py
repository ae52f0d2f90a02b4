from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from training.config import TrainingConfig
from training.tokenizer import FIXED_TEXTS, SPECIAL_TOKENS, train_tokenizer

SHIPPED = Tokenizer.from_file(str(Path("engine/embedded/tokenizer.json")))


def without_marks(text: str) -> bool:
    return not any(token in text for token in SPECIAL_TOKENS)


@given(st.text().filter(without_marks))
def test_any_text_round_trips(text: str) -> None:
    assert SHIPPED.decode(SHIPPED.encode(text).ids) == text


@pytest.mark.parametrize(
    "text", ["🎠 héllo  wörld\n\n\t x", "a\r\nb", "日本語", "it's 12345.678", "\x00\ufffd", " " * 50, *FIXED_TEXTS]
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


def test_the_vocabulary_is_full(tiny_tokenizer: Tokenizer) -> None:
    assert sorted(tiny_tokenizer.get_vocab().values()) == list(range(400))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("the cat", ["the", " cat"]),
        ("487 + 3", ["4", "8", "7", " +", " ", "3"]),
        (" qbzat", [" ", "q", "b", "z", "a", "t"]),
        (" acorn", [" ", "a", "c", "o", "r", "n"]),
        (" is a", [" is", " a"]),
        ("\n\nReasoning: medium", ["\n\nReasoning: ", "medium"]),
    ],
)
def test_words_are_whole_or_spelt(text: str, pieces: list[str]) -> None:
    texts = ["the cat is a cat 1 + 2\n\nReasoning: medium acorn"] * 20
    tokenizer = train_tokenizer(texts, 256 + 9 + 7)
    assert [tokenizer.decode([i]) for i in tokenizer.encode(text).ids] == pieces


def test_a_rare_word_is_no_token() -> None:
    with pytest.raises(ValueError, match="266 are needed"):
        train_tokenizer(["rare rare rare rare"], 266)


def test_training_is_deterministic() -> None:
    texts = ["the cat and the dog and the hen and the cow", "once upon a time there was a time"] * 6
    assert train_tokenizer(texts, 275).to_str() == train_tokenizer(texts, 275).to_str()
