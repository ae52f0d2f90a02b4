"""The checkpoint for every program: a small gpt-oss with random weights, and a tokenizer."""

from pathlib import Path
from shutil import rmtree

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from engine.config import ModelConfig
from engine.prompt.tokenizer import byte_alphabet
from tests.checkpoints import write_checkpoint

WORK = Path.home() / ".cache" / "carousel-benchmarks"
"""Folder in which builds and checkpoints for measuring are kept."""
SPECIAL = ("<|startoftext|>", "<|return|>")


def make_checkpoint(directory: Path, model: ModelConfig) -> Path:
    """Writes `model` with MXFP4 experts and all else in bfloat16, unless it exists. Returns `directory`."""
    if not directory.exists():
        unfinished = directory.with_name(f"{directory.name}.unfinished")
        rmtree(unfinished, ignore_errors=True)
        write_checkpoint(unfinished, model)
        tokenizer().save(str(unfinished / "tokenizer.json"))
        unfinished.rename(directory)
    return directory


def tokenizer() -> Tokenizer:
    """Bytes and one merge, since llama.cpp accepts no vocabulary without merges. Other ids have no text."""
    letters = [*byte_alphabet(), "th"]
    made = Tokenizer(BPE({letter: i for i, letter in enumerate(letters)}, [("t", "h")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    return made
