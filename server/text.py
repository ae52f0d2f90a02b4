"""Text to token ids and back, without blocking the event loop."""

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
from server.translate.shortened import shortened

LARGE_TEXT = 16_384
"""Characters, about 5 ms of tokenising; longer texts go to a thread."""
Given = TypeVar("Given")
Made = TypeVar("Made")


async def _aside(size: float, work: Callable[[Given], Made], given: Given) -> Made:
    """Does the work at once, or in a thread if `size` exceeds LARGE_TEXT."""
    return work(given) if size <= LARGE_TEXT else await asyncio.to_thread(work, given)


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="grammar")


@dataclass(frozen=True, slots=True)
class Text:
    """The tokenizer and the chat format of the served checkpoint, the grammars of its vocabulary, and its defaults for
    sampling.
    """

    tokenizer: Tokenizer
    renderer: ChatRenderer
    grammars: GrammarCompiler
    sampling_defaults: Mapping[str, float | int] = field(default_factory=dict)
    _compiling: ThreadPoolExecutor = field(default_factory=_one_thread)

    @classmethod
    def load(cls, directory: Path) -> "Text":
        """Loads them from a checkpoint's directory. Raises CheckpointError or ConfigError."""
        tokenizer = Tokenizer.load(directory)
        grammars = GrammarCompiler(directory / "tokenizer.json", tokenizer.vocab_size, ())
        grammars.load()
        renderer = ChatRenderer.load(directory, tokenizer)
        return cls(tokenizer, renderer, grammars, read_sampling_defaults(directory))

    async def encode(self, text: str) -> list[int]:
        """The ids of plain text. Raises RequestError."""
        return await _aside(len(text), self.tokenizer.encode, text)

    async def encode_all(self, prompts: Sequence[str | list[int]]) -> list[list[int]]:
        """The ids of each prompt; prompts of ids stay as they are. Raises RequestError."""
        return await _aside(sum(map(len, prompts)), self._encode_all, prompts)

    async def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids. Raises RequestError(param="tokens") for an id that is not in the vocabulary."""
        return await _aside(len(tokens), self._decode, tokens)

    async def token_texts(self, tokens: Sequence[int]) -> list[str]:
        """The text of each token. Raises RequestError(param="return_token_strs") for too many tokens."""
        if len(tokens) > MAX_TOKEN_TEXTS:
            raise RequestError(f"texts are returned for at most {MAX_TOKEN_TEXTS:,} tokens", param="return_token_strs")
        return await _aside(len(tokens), self._token_texts, tokens)

    async def render(self, conversation: Conversation) -> list[int]:
        """The prompt of a chat. Raises RequestError."""
        size = inf if conversation.tools else sum(map(len, strings(conversation.messages)))
        return await _aside(size, self.renderer.render, conversation)

    async def render_shortened(self, conversation: Conversation, room: int) -> list[int]:
        """The prompt of a chat without so many of its oldest messages that it has at most `room` tokens, or if it is
        longer whatever goes, without all that may (`shortened`). In a thread: it is much. Raises RequestError."""
        return await asyncio.to_thread(shortened, conversation, self.renderer.render, room)

    async def check_grammar(self, grammar: str) -> None:
        """Raises RequestError(param="grammar") for a grammar that is malformed or too large (some seconds to compile).

        Grammars are compiled one after another, in their own thread: large ones delay only each other.
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
