"""The base of answers that a chat makes, but that have another form."""

from collections.abc import Collection, Sequence

from engine.request import Request
from server.schemas.usage import Usage
from server.translate.assembler import Assembler
from server.translate.chat import ChatAnswer


class MadeByChat:
    """Requests, choices and usage are the chat's."""

    def __init__(self, chat: ChatAnswer) -> None:
        self._chat = chat

    @property
    def requests(self) -> Sequence[Request]:
        return self._chat.requests

    @property
    def model(self) -> str:
        """The model's name in the answer."""
        return self._chat.model

    @property
    def choices(self) -> Collection[Assembler]:
        return self._chat.choices

    @property
    def usage(self) -> Usage:
        """The usage so far."""
        return self._chat.usage
