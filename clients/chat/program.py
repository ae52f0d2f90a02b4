"""The chat from its first line to its last."""

import os
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from clients.chat.commands import COMMANDS, run_command
from clients.chat.conversation import Conversation
from clients.chat.interactive import Interactive
from clients.chat.line_input import PROMPT, line_input, styled
from clients.errors import BusyError, ClientError, NotFoundError
from clients.plain import write
from clients.printable import printable
from clients.results import ToolCall


def talk(conversation: Conversation) -> None:
    """Chats on a terminal until Ctrl-D. If piped, every line of input is a question, answered in plain text.

    Raises ClientError when an answer fails; on a terminal the error is shown instead.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        talk_on_terminal(conversation)
    else:
        talk_through_pipe(conversation)


def talk_through_pipe(conversation: Conversation) -> None:
    """If the model calls a tool, the next line of input is the result."""
    lines: Iterator[str] = filter(None, map(str.strip, sys.stdin))

    def ask_result(call: ToolCall) -> str:
        return next(lines, "")

    for line in lines:
        conversation.ask(line, write, ask_result)


def talk_on_terminal(conversation: Conversation) -> None:
    for name in ("COLUMNS", "LINES"):  # A size that once was exported; rich would believe it more than the terminal.
        os.environ.pop(name, None)
    console = Console()
    typed = line_input([f"/{name}" for name in COMMANDS])
    chat = Interactive(console, conversation, lambda prompt: typed.prompt(styled(prompt)))
    greet(chat)
    while True:
        try:
            line = typed.prompt(styled(PROMPT)).strip()
            if line and not run_command(chat, line):
                chat.ask(line)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        except ClientError as error:
            console.print(Text(str(error), "red"))


def greet(chat: Interactive) -> None:
    """Raises ClientError if the server refuses the client or cannot be reached."""
    client = chat.conversation.client
    try:
        model = chat.conversation.options.get("model") or client.models()[0].id
    except (BusyError, NotFoundError, IndexError):
        model = "a model"
    chat.console.print(Text.assemble((printable(model), "bold"), (f" at {client.url}", "dim")))
    chat.remark("/help: commands · Alt-Enter: new line · Ctrl-C: stop an answer · Ctrl-D: leave\n")
