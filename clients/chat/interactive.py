"""A conversation on a terminal, as the /commands and the program see it."""

from collections.abc import Callable, Generator

from rich.console import Console
from rich.text import Text

from clients.chat.conversation import Conversation
from clients.chat.quiet_keys import quiet_keys
from clients.chat.view import show
from clients.printable import printable
from clients.results import Answer, Delta, ToolCall


class Interactive:
    """`unfold` keeps reasoning on the screen. `read` shows a prompt and returns the text typed after it."""

    def __init__(self, console: Console, conversation: Conversation, read: Callable[[str], str]) -> None:
        self.console = console
        self.conversation = conversation
        self.unfold = False
        self._read = read

    def ask(self, question: str) -> None:
        """Raises ClientError."""
        self.console.print()
        self.conversation.ask(question, self._show, self._ask_result)
        self.console.print()

    def remark(self, text: str) -> None:
        """Prints a line that is not the model's."""
        self.console.print(Text(printable(text), "dim"))

    def _show(self, deltas: Generator[Delta, None, None]) -> Answer:
        with quiet_keys():
            return show(self.console, deltas, unfold=self.unfold)

    def _ask_result(self, call: ToolCall) -> str:
        return self._read(f"{call.name} returns: ")
