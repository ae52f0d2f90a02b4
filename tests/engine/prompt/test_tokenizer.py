import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from engine.errors import CheckpointError, RequestError
from engine.prompt.tokenizer import Tokenizer, byte_alphabet


def test_every_byte_has_a_character():
    assert sorted(byte_alphabet().values()) == list(range(256))


@given(text=st.text())
def test_text_round_trips_without_special_tokens(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.special_ids.values())


@pytest.mark.parametrize("text", ["<|start|>system", "a<|end|>b", "<|reserved_9|>", "<|start|><|message|>"])
def test_special_tokens_in_text_stay_text(tokenizer, text):
    ids = tokenizer.encode(text)
    assert not set(ids) & set(tokenizer.special_ids.values())
    assert tokenizer.decode(ids) == tokenizer.decode(ids, skip_special=True) == text


def test_marked_text_has_special_tokens(tokenizer):
    special = tokenizer.special_ids
    ids = tokenizer.encode_marked("<|start|>user<|message|>hi<|end|>")
    expected = [
        special["<|start|>"],
        *tokenizer.encode("user"),
        special["<|message|>"],
        *tokenizer.encode("hi"),
    ]
    assert ids == [*expected, special["<|end|>"]]
    assert tokenizer.decode(ids) == "<|start|>user<|message|>hi<|end|>"
    assert tokenizer.decode(ids, skip_special=True) == "userhi"


def test_nothing_is_added_or_cut(definition):
    definition = definition | {
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    }
    tokenizer = Tokenizer(definition)
    assert tokenizer.encode("") == []
    assert tokenizer.decode(tokenizer.encode("the quick brown fox jumps")) == "the quick brown fox jumps"


def test_markup_is_special_whatever_its_flag(definition):
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    size = Tokenizer(definition).vocab_size
    added = [{"id": size, "content": "<|odd|>", **plain}, {"id": size + 1, "content": "ünd", **plain}]
    tokenizer = Tokenizer(definition | {"added_tokens": definition["added_tokens"] + added})
    assert tokenizer.vocab_size == size + 2
    assert tokenizer.special_ids["<|odd|>"] == size
    assert size not in tokenizer.encode("<|odd|>")
    assert tokenizer.encode_marked("<|odd|>") == [size]
    assert tokenizer.encode("ünd") == [size + 1]
    assert tokenizer.decode([size + 1], skip_special=True) == "ünd"


def test_the_longest_special_token_is_found(definition):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    size = Tokenizer(definition).vocab_size
    added = [{"id": size + i, "content": text, **flags} for i, text in enumerate(["PAD", "PADDING"])]
    tokenizer = Tokenizer(definition | {"added_tokens": definition["added_tokens"] + added})
    assert tokenizer.encode_marked("PADPADDING") == [size, size + 1]


def test_vocabulary_size_and_unused_ids(tokenizer, definition):
    library = Library.from_str(json.dumps(definition))
    assert tokenizer.vocab_size == max(library.get_vocab().values()) + 1
    for unknown in (-1, tokenizer.vocab_size, 2**63):
        assert tokenizer.token_bytes(unknown) == b""
    assert tokenizer.decode([-1, *tokenizer.encode("x"), 10**9]) == "x"


def test_token_bytes_and_text(tokenizer):
    ids = tokenizer.encode("日")
    assert b"".join(map(tokenizer.token_bytes, ids)) == "日".encode()
    assert len(ids) > 1
    assert tokenizer.token_text(ids[0]) == "\ufffd"
    assert tokenizer.token_bytes(tokenizer.special_ids["<|end|>"]) == b"<|end|>"


@given(data=st.data())
def test_decode_agrees_with_the_library(tokenizer, definition, data):
    library = Library.from_str(json.dumps(definition))
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=40))
    skip = data.draw(st.booleans())
    assert tokenizer.decode(ids, skip_special=skip) == library.decode(ids, skip_special_tokens=skip)


def test_a_text_that_is_too_long_is_refused(tokenizer, monkeypatch):
    monkeypatch.setattr("engine.prompt.tokenizer.MAX_CHARACTERS", 9)
    assert tokenizer.decode(tokenizer.encode("a" * 9)) == "a" * 9
    with pytest.raises(RequestError, match="longer than 9 characters"):
        tokenizer.encode("a" * 10)


def test_lone_surrogate_is_refused(tokenizer):
    with pytest.raises(RequestError) as caught:
        tokenizer.encode("a\ud800b")
    assert caught.value.param == "prompt"


def test_nul_is_text(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\0b")) == "a\0b"


def test_threads_agree(tokenizer):
    texts = [f"the quick <|end|> fox {number} 😀" * 20 for number in range(50)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, texts)) == [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"decoder": {"type": "ByteLevel"}}', '{"a": "\ud83d"}'])
def test_unreadable_files(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        Tokenizer.load(tmp_path)


def test_weights_without_what_belongs_beside_them(tmp_path):
    """As `hf download openai/gpt-oss-20b --include "original/*"` leaves them."""
    original = tmp_path / "original"
    original.mkdir()
    for directory in (tmp_path, original):
        with pytest.raises(CheckpointError, match=r"no such file: .*template\.jinja and .* belong there") as caught:
            Tokenizer.load(directory)
        assert str(caught.value).startswith(str(directory / "tokenizer.json"))
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(CheckpointError, match=f"no such file: give {re.escape(str(tmp_path))} instead$"):
        Tokenizer.load(original)


def test_load(checkpoint, tokenizer):
    assert Tokenizer.load(checkpoint).encode("hello <|end|>") == tokenizer.encode("hello <|end|>")


def test_other_decoders_are_refused(definition):
    with pytest.raises(CheckpointError, match="ByteLevel"):
        Tokenizer(definition | {"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}})


@pytest.mark.parametrize(
    "broken",
    [
        {"decoder": "ByteLevel"},
        {"decoder": {"decoders": 1}},
        {"added_tokens": ["a"]},
        {"added_tokens": [{"content": "a"}]},
    ],
)
def test_what_is_malformed_is_refused(definition, broken):
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: its added_tokens or decoder"):
        Tokenizer(definition | broken)
