"""Text to token ids for the routes, without holding up the event loop."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from engine.prompt.chat import ChatRenderer, Conversation
from engine.prompt.tokenizer import Tokenizer

LARGE_TEXT = 16_384
"""Characters: about 5 ms of tokenising; longer texts are handed to a thread."""


@dataclass(frozen=True, slots=True)
class Text:
    """The tokenizer and the chat format of the checkpoint being served."""

    tokenizer: Tokenizer
    renderer: ChatRenderer

    @classmethod
    def load(cls, directory: Path) -> "Text":
        """Raises CheckpointError."""
        tokenizer = Tokenizer.load(directory)
        return cls(tokenizer, ChatRenderer.load(directory, tokenizer))

    async def encode(self, text: str) -> list[int]:
        """The ids of plain text. Raises RequestError."""
        if len(text) <= LARGE_TEXT:
            return self.tokenizer.encode(text)
        return await asyncio.to_thread(self.tokenizer.encode, text)

    async def render(self, conversation: Conversation) -> list[int]:
        """The prompt of a chat. Raises RequestError."""
        if sum(len(message.get("content") or "") for message in conversation.messages) <= LARGE_TEXT:
            return self.renderer.render(conversation)
        return await asyncio.to_thread(self.renderer.render, conversation)
