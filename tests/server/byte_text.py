"""A vocabulary of bytes and harmony's special tokens: a character beyond ASCII spans several tokens."""

import json
from pathlib import Path

from engine.prompt.tokenizer import byte_alphabet
from server.text import Text

SPECIALS = (
    "<|startoftext|>",
    "<|endoftext|>",
    "<|return|>",
    "<|constrain|>",
    "<|channel|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|call|>",
)


def tokenizer_definition() -> dict[str, object]:
    """A tokenizer.json in which byte b has id b, and the special tokens follow."""
    vocabulary = byte_alphabet()
    added = [
        {
            "id": 256 + i,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, text in enumerate(SPECIALS)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [],
        },
    }


def byte_text(directory: Path) -> Text:
    """The tokenizer, written to `directory`, where grammars need it, and loaded."""
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer_definition()))
    return Text.load(directory)
