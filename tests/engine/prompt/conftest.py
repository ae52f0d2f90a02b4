import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from engine.prompt.tokenizer import Tokenizer

# A busy machine is not a failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SPECIALS = [
    "<|startoftext|>",
    "<|endoftext|>",
    "<|return|>",
    "<|constrain|>",
    "<|channel|>",
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|call|>",
    "<|reserved_9|>",
]
SENTENCES = [
    "system developer user assistant analysis commentary final functions to=assistant json",
    "The quick brown fox jumps over the lazy dog, and the dog says: what a fine day it is! 😀",
    "naïve café, Straße, 你好, привет 👩‍👩‍👧",
]


@pytest.fixture(scope="session")
def definition() -> dict[str, Any]:
    """A tokenizer.json: byte-level BPE, harmony's special tokens, and a post-processor that would add one."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIALS,
        show_progress=False,
    )
    library.train_from_iterator(SENTENCES * 3, trainer)
    library.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A",
        special_tokens=[("<|startoftext|>", library.token_to_id("<|startoftext|>"))],
    )
    return json.loads(library.to_str())


@pytest.fixture(scope="session")
def tokenizer(definition: dict[str, Any]) -> Tokenizer:
    return Tokenizer(definition)


@pytest.fixture
def checkpoint(tmp_path: Path, definition: dict[str, Any]) -> Path:
    """A directory with nothing but a tokenizer.json."""
    (tmp_path / "tokenizer.json").write_text(json.dumps(definition))
    return tmp_path
