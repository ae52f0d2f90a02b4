"""A conversation in the terminal, or, piped, one answer a line of input."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from rich.console import Console

from clients.client import Carousel
from clients.errors import ClientError
from clients.results import Message
from clients.terminal import show

GREETING = "Ctrl-C stops an answer, Ctrl-D ends the conversation."


def chat(client: Carousel, options: Mapping[str, Any], *, system: str | None = None) -> None:
    """Asks until the input ends. `options` are request fields.

    Raises ClientError when an answer fails; on a terminal it is shown instead, and the question forgotten.
    """
    console = Console()
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for line in questions(console):
        messages.append({"role": "user", "content": line})
        try:
            answer = show(console, client.stream_chat(messages, **options))
        except ClientError as error:
            if not console.is_terminal:
                raise
            messages.pop()
            console.out(str(error), style="red", highlight=False)
        else:
            messages.append({"role": "assistant", "content": answer})


def questions(console: Console) -> Iterator[str]:
    """The lines that are not blank, asked for on a terminal."""
    if not sys.stdin.isatty():
        yield from filter(None, map(str.strip, sys.stdin))
        return
    with suppress(ImportError):
        import readline  # noqa: F401 (line editing and history, where there is one)
    console.out(GREETING, style="dim")
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            if line := console.input("[bold]> [/bold]").strip():
                yield line
