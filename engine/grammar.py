"""Grammars: which tokens may come next, by llguidance.

A grammar governs the whole answer, harmony's markup included, so a part of it that must be free (the reasoning) is
free text in the grammar. Its state advances with every token and belongs to one request.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import ConfigError, RequestError

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer

REMEMBERED = 256
"""Compiled grammars that are cached: an application sends the same few again and again."""

REASONS = {"NoExtensionBias": "no text satisfies it"}
"""Plain words for messages of llguidance that are no sentences."""


PATIENCE_SECONDS = 2.0
TOKEN_SECONDS = 0.01
"""How much of the engine's time, which all requests share, a grammar may take: PATIENCE_SECONDS, plus TOKEN_SECONDS for
each token. With a JSON schema and a vocabulary of 1,856 tokens, a mask takes some 25 µs."""


class GrammarState:
    """Where one request's answer stands in its grammar."""

    def __init__(self, matcher: "LLMatcher") -> None:
        self._matcher = matcher
        self._patience = PATIENCE_SECONDS

    @property
    def complete(self) -> bool:
        """Whether the grammar allows no further token."""
        return self._matcher.is_stopped()

    @property
    def lost(self) -> bool:
        """Whether it has grown too large to compute which tokens may come next."""
        return self._matcher.is_error()

    @property
    def error(self) -> str | None:
        """Why the grammar cannot continue, if it cannot."""
        if self._patience < 0:
            return "it takes too long"
        return self._matcher.get_error() if self._matcher.is_error() else None

    def advance(self, token_id: int) -> None:
        """Advances by the token that was chosen."""
        began = thread_time()
        self._matcher.consume_token(token_id)
        self._patience += TOKEN_SECONDS - (thread_time() - began)

    def fill(self, mask: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> None:
        """Writes one bit per token, low bits first: 1 if it may come next."""
        began = thread_time()
        self._matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        self._patience -= thread_time() - began


class GrammarCompiler:
    """Compiles grammars for one vocabulary, which is read with the first one unless `load` was called before.

    `eos_token_ids` end an answer wherever its grammar is complete.
    """

    def __init__(self, tokenizer: Path, vocab_size: int, eos_token_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._eos_token_ids = list(eos_token_ids)
        self._beginning = lru_cache(REMEMBERED)(self._compile)

    def load(self) -> None:
        """Reads the vocabulary now, if there is one. 200,000 tokens take 3 seconds in which no other thread runs."""
        if self._tokenizer.exists():
            _ = self._vocabulary

    def compile(self, grammar: str) -> GrammarState:
        """A Lark grammar in llguidance's dialect → its initial state. Takes milliseconds, for a huge one some seconds.

        Raises RequestError(param="grammar") for one that is malformed or too large. Other threads run meanwhile.
        Compiled grammars are cached.
        """
        return GrammarState(self._beginning(grammar).deep_copy())

    def _compile(self, grammar: str) -> "LLMatcher":
        from llguidance import LLMatcher

        matcher = LLMatcher(self._vocabulary, LLMatcher.grammar_from_lark(grammar), log_level=0, limits=self._limits)
        trial = matcher.deep_copy()
        if not trial.is_error():  # Some patterns turn out to be too large only when a token is read.
            allowed = int.from_bytes(trial.compute_bitmask(), "little")
            trial.consume_token((allowed & -allowed).bit_length() - 1)
            trial.compute_bitmask()
        if trial.is_error():
            reason = trial.get_error().partition("\n<state>")[0]
            raise RequestError(f"grammar: {REASONS.get(reason, reason)}", param="grammar")
        return matcher

    @cached_property
    def _vocabulary(self) -> "LLTokenizer":
        from llguidance import LLTokenizer

        if not self._tokenizer.exists():
            raise ConfigError(f"{self._tokenizer} is missing: grammars need the vocabulary")
        return LLTokenizer(str(self._tokenizer), n_vocab=self._vocab_size, eos_token=self._eos_token_ids or None)

    @cached_property
    def _limits(self) -> "LLParserLimits":
        """In llguidance's own units of size and work: some seconds' worth. An object may have about 5000 properties."""
        from llguidance import LLParserLimits

        return LLParserLimits(
            max_grammar_size=30_000,
            initial_lexer_fuel=1_000_000,
            step_lexer_fuel=200_000,
            step_max_items=50_000,
            max_lexer_states=250_000,
        )
