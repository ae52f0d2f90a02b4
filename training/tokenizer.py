"""A byte-level tokenizer: frequent words and the chat template's fixed texts are tokens, all else is spelt.

There are no merges: a word is one token or one token per byte. So the model sees a word that the corpus does not have
letter by letter, and even a small model can copy, reverse and count it; and any text round-trips. The special tokens
come last and fill the vocabulary to its exact size.
"""

import re
from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from training.words import NAMES, NOUNS

SPECIAL_TOKENS = (
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

# Texts that the chat template writes in every conversation: one token each instead of dozens.
FIXED_TEXTS = (
    "You are Carousel, a small language model.\nKnowledge cutoff: 2024-06\nCurrent date: ",
    "\n\nReasoning: ",
    "\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message.",
    "\nCalls to these tools must go to the commentary channel: 'functions'.",
    "# Instructions\n\n",
    "# Response Formats\n\n## ",
    "# Tools\n\n## functions\n\nnamespace functions {\n\n",
    "} // namespace functions",
    ") => any;\n\n",
)

# Fixed texts, words with a leading space, digits one by one, punctuation with a leading space, white space.
PIECES = "|".join(
    (
        *map(re.escape, FIXED_TEXTS),
        r" ?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
SPELT = frozenset((*NAMES, *NOUNS)) - {"Will"}
"""The words of tasks on letters stay spelt, however frequent they are."""

HOLDERS = 6
"""A word must be in at least this many texts to be a token: an invented word is in one or two."""


def splitter() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def is_whole(piece: str) -> bool:
    """Whether a piece may be a token. A space and a single letter may not: a word is spelt the same everywhere."""
    word = piece.removeprefix("Ġ")
    if piece in ("Ġa", "ĠI"):
        return True
    return len(piece) > 1 and not (len(word) == 1 and word.isalpha()) and word not in SPELT


def frequent_pieces(texts: Iterable[str], count: int) -> list[str]:
    """The pieces of more than one byte that save the most tokens, of those that occur in several texts."""
    split = splitter()
    marks = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS))
    counts: Counter[str] = Counter()
    holders: Counter[str] = Counter()
    for text in texts:
        pieces = [piece for part in marks.split(text) for piece, _ in split.pre_tokenize_str(part)]
        counts.update(pieces)
        holders.update(set(pieces))
    saved = {
        piece: counts[piece] * (len(piece) - 1)
        for piece, texts_with_it in holders.items()
        if texts_with_it >= HOLDERS and is_whole(piece)
    }
    return sorted(saved, key=lambda piece: (-saved[piece], piece))[:count]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` tokens. Marks of special tokens in the texts are ignored.

    Raises ValueError if the texts have too few words.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = frequent_pieces(texts, vocab_size - len(alphabet) - len(SPECIAL_TOKENS))
    vocabulary = {piece: number for number, piece in enumerate((*alphabet, *pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = splitter()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"the texts give {tokenizer.get_vocab_size()} tokens, but {vocab_size} are needed")
    return tokenizer
