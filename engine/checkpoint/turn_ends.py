"""The tokens that end a turn of harmony, or a text: a checkpoint's configs do not always name them all."""

from dataclasses import replace
from pathlib import Path

import msgspec

from engine.config import ModelConfig
from engine.errors import CheckpointError

TURN_ENDS = frozenset({"<|return|>", "<|call|>", "<|endoftext|>"})


class AddedToken(msgspec.Struct):
    id: int
    content: str


class Vocabulary(msgspec.Struct):
    """The part of a tokenizer.json that is needed here."""

    added_tokens: list[AddedToken] = []


def with_turn_ends(config: ModelConfig, directory: Path) -> ModelConfig:
    """The config with these tokens among its `eos_token_ids`. Raises CheckpointError."""
    ends = (token for token in read_turn_ends(directory) if 0 <= token < config.vocab_size)
    return replace(config, eos_token_ids=tuple(dict.fromkeys((*config.eos_token_ids, *ends))))


def read_turn_ends(directory: Path) -> tuple[int, ...]:
    """Their ids in `directory`/tokenizer.json, as far as it lists them; none without it. Raises CheckpointError."""
    path = directory / "tokenizer.json"
    if not path.exists():
        return ()
    try:
        vocabulary = msgspec.json.decode(path.read_bytes(), type=Vocabulary)
    except (OSError, msgspec.DecodeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return tuple(token.id for token in vocabulary.added_tokens if token.content in TURN_ENDS)
