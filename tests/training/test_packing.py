import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from training.corpus import Document
from training.packing import encode, gather

HI = Document(
    (
        ("<|start|>user<|message|>Hi<|end|><|start|>assistant", False),
        ("<|channel|>final<|message|>Hi!<|return|>", True),
    )
)


def test_the_worked_example_of_the_docstring(tiny_tokenizer: Tokenizer) -> None:
    documents = [Document((("A" * length, True),)) for length in (1, 3, 4, 2)]
    encoded = encode(documents, tiny_tokenizer, longest=9)
    batches = [encoded.batch(batch) for batch in gather(encoded.lengths().tolist(), range(4), batch_tokens=6)]
    assert [batch.learnt.int().tolist() for batch in batches] == [[[1, 0], [1, 1]], [[1, 1, 1]], [[1, 1, 1, 1]]]
    a = tiny_tokenizer.token_to_id("A")
    assert [batch.tokens.tolist() for batch in batches] == [[[a, 0], [a, a]], [[a] * 3], [[a] * 4]]


def test_only_what_is_marked_is_learnt(tiny_tokenizer: Tokenizer) -> None:
    batch = encode([HI], tiny_tokenizer, longest=100).batch([0])
    assert tiny_tokenizer.decode(batch.tokens[0].tolist(), skip_special_tokens=False) == HI.text
    kept = batch.tokens[0][batch.learnt[0]].tolist()
    assert tiny_tokenizer.decode(kept, skip_special_tokens=False) == HI.parts[1][0]


def test_documents_that_are_too_long_are_left_out(tiny_tokenizer: Tokenizer) -> None:
    assert len(encode([HI, Document((("A" * 50, True),))], tiny_tokenizer, longest=40)) == 1


@given(st.lists(st.integers(1, 300), min_size=1, max_size=50), st.integers(1, 400))
def test_every_document_is_in_one_batch_and_none_is_too_large(lengths: list[int], batch_tokens: int) -> None:
    batches = gather(lengths, range(len(lengths)), batch_tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= batch_tokens


@pytest.mark.parametrize("batch_tokens", [1, 7])
def test_long_documents_stand_alone(batch_tokens: int) -> None:
    assert gather([5, 9], [1, 0], batch_tokens) == [[0], [1]]


def test_a_batch_holds_the_types_the_model_reads(tiny_tokenizer: Tokenizer) -> None:
    batch = encode([HI], tiny_tokenizer, longest=100).batch([0])
    assert (batch.tokens.dtype, batch.learnt.dtype) == (torch.int64, torch.bool)
