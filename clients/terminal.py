"""How an answer looks while it comes: its reasoning dimmed on a terminal, and left out of a pipe."""

from collections.abc import Iterable

from rich.console import Console

from clients.results import Delta


def show(console: Console, deltas: Iterable[Delta]) -> str:
    """Writes an answer as it comes, and a line break after it. Returns its text, without the reasoning.

    Ctrl-C ends it where it is.
    """
    text = ""
    reasoned = False
    try:
        for delta in deltas:
            if delta.reasoning and console.is_terminal:
                console.out(delta.reasoning, style="dim", end="", highlight=False)
                reasoned = True
            if delta.text:
                gap = "\n\n" if reasoned and not text else ""
                console.out(gap + delta.text, end="", highlight=False)
                text += delta.text
    except KeyboardInterrupt:
        if not console.is_terminal:
            raise
    console.out()
    return text
