"""Input on a terminal: several lines, a history, completion of /commands."""

import os
from collections.abc import Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

PROMPT = "› "


def line_input(words: Sequence[str]) -> PromptSession[str]:
    """Enter sends; Alt-Enter, Ctrl-J or a backslash before Enter begin a new line. Tab completes `words`."""
    return PromptSession(
        multiline=True,
        history=open_history(history_path()),
        key_bindings=key_bindings(),
        completer=WordCompleter(list(words), sentence=True),
        complete_while_typing=False,
        prompt_continuation=lambda width, line, wrapped: " " * width,
    )


def styled(prompt: str) -> FormattedText:
    return FormattedText([("bold ansicyan", prompt)])


def history_path() -> Path:
    """The history file in XDG's state directory."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "carousel" / "chat_history"


def open_history(path: Path) -> History:
    """A history in a file that only its owner can read, or in memory if the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.char_before_cursor == "\\":
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    @bindings.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings
