"""Text to token ids for the routes, without holding up the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from engine.grammar import GrammarCompiler
from engine.prompt.chat import ChatRenderer, Conversation
from engine.prompt.conversation import Message
from engine.prompt.tokenizer import Tokenizer

LARGE_TEXT = 16_384
"""Characters: about 5 ms of tokenising; longer texts are handed to a thread."""


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="grammar")


@dataclass(frozen=True, slots=True)
class Text:
    """The tokenizer and the chat format of the checkpoint being served, and the grammars of its vocabulary."""

    tokenizer: Tokenizer
    renderer: ChatRenderer
    grammars: GrammarCompiler
    _compiling: ThreadPoolExecutor = field(default_factory=_one_thread)

    @classmethod
    def load(cls, directory: Path) -> "Text":
        """Raises CheckpointError."""
        tokenizer = Tokenizer.load(directory)
        grammars = GrammarCompiler(directory / "tokenizer.json", tokenizer.vocab_size, ())
        grammars.load()
        return cls(tokenizer, ChatRenderer.load(directory, tokenizer), grammars)

    async def encode(self, text: str) -> list[int]:
        """The ids of plain text. Raises RequestError."""
        if len(text) <= LARGE_TEXT:
            return self.tokenizer.encode(text)
        return await asyncio.to_thread(self.tokenizer.encode, text)

    async def render(self, conversation: Conversation) -> list[int]:
        """The prompt of a chat. Raises RequestError."""
        if not conversation.tools and sum(map(_length, conversation.messages)) <= LARGE_TEXT:
            return self.renderer.render(conversation)
        return await asyncio.to_thread(self.renderer.render, conversation)

    async def check_grammar(self, grammar: str) -> None:
        """Raises RequestError(param="grammar") for one that is malformed, or too large (some seconds' work).

        Grammars are compiled one after another, in a thread of their own: large ones delay nothing but each other.
        """
        await asyncio.get_running_loop().run_in_executor(self._compiling, self.grammars.compile, grammar)


def _length(message: Message) -> int:
    """In characters, about."""
    return sum(len(value) for value in message.values() if isinstance(value, str))
