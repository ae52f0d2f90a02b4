import torch
from tokenizers import Tokenizer

from training.corpus import Document
from training.packing import encode, pack


def test_the_worked_example_of_the_docstring() -> None:
    encoded = [([ord(letter) for letter in text], [True] * len(text)) for text in ("ABC", "DE", "FGHIJ", "K")]
    sequences = pack(encoded, length=3)
    assert ["".join(chr(i) if i else "." for i in row) for row in sequences.tokens.tolist()] == [
        "ABCD",
        "FGHI",
        "K...",
    ]
    assert sequences.learnt[-1].tolist() == [True, False, False, False]


def test_only_completions_are_learnt(tiny_tokenizer: Tokenizer) -> None:
    document = Document(
        "<|start|>user<|message|>Hi<|end|><|start|>assistant", "<|channel|>final<|message|>Hi!<|return|>"
    )
    [(ids, learnt)] = encode([document], tiny_tokenizer)
    assert tiny_tokenizer.decode(ids, skip_special_tokens=False) == document.prompt + document.completion
    kept = torch.tensor(ids)[torch.tensor(learnt)].tolist()
    assert tiny_tokenizer.decode(kept, skip_special_tokens=False) == document.completion
