import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from training.corpus import Document
from training.packing import encode, gather, rounded

HI = Document(
    (
        ("<|start|>user<|message|>Hi<|end|><|start|>assistant", False),
        ("<|channel|>final<|message|>Hi!<|return|>", True),
    )
)


def test_the_worked_example_of_the_docstring(tiny_tokenizer: Tokenizer) -> None:
    lengths = (30, 70, 31, 66, 40)
    encoded = encode([Document((("A" * length, True),)) for length in lengths], tiny_tokenizer, longest=100)
    gathered = gather(encoded.lengths().tolist(), range(5), batch_tokens=96)
    assert [[lengths[i] for i in batch] for batch in gathered] == [[70], [66], [30, 31], [40]]
    batches = [encoded.batch(batch) for batch in gathered]
    assert [batch.tokens.shape[1] - 1 for batch in batches] == [80, 80, 32, 48]
    assert [batch.learnt.sum(1).tolist() for batch in batches] == [[70], [66], [30, 31], [40]]
    a = tiny_tokenizer.token_to_id("A")
    assert batches[2].tokens[0].tolist() == [a] * 30 + [0] * 3


def test_only_what_is_marked_is_learnt(tiny_tokenizer: Tokenizer) -> None:
    batch = encode([HI], tiny_tokenizer, longest=100).batch([0])
    length = int(encode([HI], tiny_tokenizer, longest=100).lengths()[0])
    assert tiny_tokenizer.decode(batch.tokens[0, :length].tolist(), skip_special_tokens=False) == HI.text
    kept = batch.tokens[0][batch.learnt[0]].tolist()
    assert tiny_tokenizer.decode(kept, skip_special_tokens=False) == HI.parts[1][0]


def test_documents_that_are_too_long_are_left_out(tiny_tokenizer: Tokenizer) -> None:
    assert len(encode([HI, Document((("A" * 50, True),))], tiny_tokenizer, longest=40)) == 1


@given(st.lists(st.integers(2, 300), min_size=1, max_size=50), st.integers(1, 400))
def test_every_document_is_in_one_batch_and_none_is_too_large(lengths: list[int], batch_tokens: int) -> None:
    batches = gather(lengths, range(len(lengths)), batch_tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(rounded(lengths[i] - 1) for i in batch) <= batch_tokens


@pytest.mark.parametrize("batch_tokens", [1, 7])
def test_long_documents_stand_alone(batch_tokens: int) -> None:
    assert gather([5, 9], [1, 0], batch_tokens) == [[1], [0]]


def test_a_batch_holds_the_types_the_model_reads(tiny_tokenizer: Tokenizer) -> None:
    batch = encode([HI], tiny_tokenizer, longest=100).batch([0])
    assert (batch.tokens.dtype, batch.learnt.dtype) == (torch.int64, torch.bool)
