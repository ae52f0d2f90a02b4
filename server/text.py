"""Text to token ids and back for the routes, without holding up the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TypeVar

from engine.errors import RequestError
from engine.grammar import GrammarCompiler
from engine.prompt.chat import ChatRenderer, Conversation
from engine.prompt.mask import strings
from engine.prompt.tokenizer import Tokenizer
from engine.sampling_defaults import read_sampling_defaults
from server.schemas.tokenize import MAX_TOKEN_TEXTS

LARGE_TEXT = 16_384
"""Characters: about 5 ms of tokenising; longer texts are handed to a thread."""
Given = TypeVar("Given")
Made = TypeVar("Made")


async def _aside(size: float, work: Callable[[Given], Made], given: Given) -> Made:
    """Does it at once, or in a thread if it is much: more than LARGE_TEXT."""
    return work(given) if size <= LARGE_TEXT else await asyncio.to_thread(work, given)


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="grammar")


@dataclass(frozen=True, slots=True)
class Text:
    """The tokenizer and the chat format of the checkpoint being served, the grammars of its vocabulary, and how it is
    sampled where a request does not say.
    """

    tokenizer: Tokenizer
    renderer: ChatRenderer
    grammars: GrammarCompiler
    sampling_defaults: Mapping[str, float | int] = field(default_factory=dict)
    _compiling: ThreadPoolExecutor = field(default_factory=_one_thread)

    @classmethod
    def load(cls, directory: Path) -> "Text":
        """Raises CheckpointError or ConfigError."""
        tokenizer = Tokenizer.load(directory)
        grammars = GrammarCompiler(directory / "tokenizer.json", tokenizer.vocab_size, ())
        grammars.load()
        renderer = ChatRenderer.load(directory, tokenizer)
        return cls(tokenizer, renderer, grammars, read_sampling_defaults(directory))

    async def encode(self, text: str) -> list[int]:
        """The ids of plain text. Raises RequestError."""
        return await _aside(len(text), self.tokenizer.encode, text)

    async def encode_all(self, prompts: Sequence[str | list[int]]) -> list[list[int]]:
        """The ids of each; what is ids already stays so. Raises RequestError."""
        return await _aside(sum(map(len, prompts)), self._encode_all, prompts)

    async def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids. Raises RequestError(param="tokens") for one that is not in the vocabulary."""
        return await _aside(len(tokens), self._decode, tokens)

    async def token_texts(self, tokens: Sequence[int]) -> list[str]:
        """Each token's text alone. Raises RequestError(param="return_token_strs") for too many of them."""
        if len(tokens) > MAX_TOKEN_TEXTS:
            raise RequestError(f"the texts of at most {MAX_TOKEN_TEXTS:,} tokens are given", param="return_token_strs")
        return await _aside(len(tokens), self._token_texts, tokens)

    async def render(self, conversation: Conversation) -> list[int]:
        """The prompt of a chat. Raises RequestError."""
        size = inf if conversation.tools else sum(map(len, strings(conversation.messages)))
        return await _aside(size, self.renderer.render, conversation)

    async def check_grammar(self, grammar: str) -> None:
        """Raises RequestError(param="grammar") for one that is malformed, or too large (some seconds' work).

        Grammars are compiled one after another, in a thread of their own: large ones delay nothing but each other.
        """
        await asyncio.get_running_loop().run_in_executor(self._compiling, self.grammars.compile, grammar)

    def _encode_all(self, prompts: Sequence[str | list[int]]) -> list[list[int]]:
        return [self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt for prompt in prompts]

    def _token_texts(self, tokens: Sequence[int]) -> list[str]:
        return [self.tokenizer.token_text(token_id) for token_id in tokens]

    def _decode(self, tokens: Sequence[int]) -> str:
        for token_id in tokens:
            if not 0 <= token_id < self.tokenizer.vocab_size:
                raise RequestError(f"tokens: {token_id} is not in the vocabulary", param="tokens")
        return self.tokenizer.decode(tokens)
