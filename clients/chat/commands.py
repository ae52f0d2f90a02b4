"""The /commands of a conversation in the terminal."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from clients.chat.interactive import Interactive
from clients.chat.view import reasoning_text
from clients.errors import UsageError
from clients.results import Message

OWN_FIELDS = ("messages", "self")
"""Names that cannot be set: the conversation, and Python's name for the client."""
COMMAND = re.compile(r"/(\w+)(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """`act` takes the conversation and the text after the command's name."""

    argument: str
    summary: str
    act: Callable[[Interactive, str], None]


def run_command(chat: Interactive, line: str) -> bool:
    """Returns False if the line is not a command but a question, even one that begins with a slash (/etc/hosts).

    Raises UsageError for a command that is unknown or fails, EOFError to leave.
    """
    match = COMMAND.fullmatch(line.strip())
    if match is None:
        return False
    name, argument = match.groups(default="")
    if name not in COMMANDS:
        raise UsageError(f"there is no /{name}; /help lists the commands")
    COMMANDS[name].act(chat, argument.strip())
    return True


def parse_setting(text: str) -> tuple[str, Any]:
    """A request field and its value, read as JSON or else as text; no value unsets the field. Raises UsageError.

    >>> parse_setting("temperature=0.5"), parse_setting("stop = END"), parse_setting("seed=")
    (('temperature', 0.5), ('stop', 'END'), ('seed', None))
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name.isidentifier():
        raise UsageError("write /set name=value, like /set temperature=0.5")
    if name in OWN_FIELDS:
        raise UsageError(f"{name} cannot be set")
    if not value:
        return name, None
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def transcript(messages: Sequence[Message]) -> str:
    """A conversation as Markdown."""
    parts = []
    for message in messages:
        content = message.get("content")
        parts += [f"## {message['role']}", *([content] if isinstance(content, str) and content else [])]
        for call in message.get("tool_calls", ()):
            parts.append(f"`{call['function']['name']}` `{call['function']['arguments']}`")
    return "\n\n".join(parts) + "\n"


def _help(chat: Interactive, argument: str) -> None:
    table = Table.grid(padding=(0, 3))
    for name, command in COMMANDS.items():
        table.add_row(Text.assemble((f"/{name}", "bold"), f" {command.argument}"), command.summary)
    for keys, summary in KEYS.items():
        table.add_row(Text(keys, "bold"), summary)
    chat.console.print(table)


def _clear(chat: Interactive, argument: str) -> None:
    chat.conversation.clear()
    chat.remark("a new conversation")


def _system(chat: Interactive, argument: str) -> None:
    if argument:
        chat.conversation.system = None if argument == "-" else argument
    chat.remark(f"system: {chat.conversation.system or '(none)'}")


def _model(chat: Interactive, argument: str) -> None:
    if argument:
        chat.conversation.options["model"] = argument
    wanted = chat.conversation.options.get("model")
    for model in chat.conversation.client.models():
        chat.remark(f"{'•' if wanted in (None, model.id) else ' '} {model.id}")
        wanted = wanted or model.id


def _set(chat: Interactive, argument: str) -> None:
    options = chat.conversation.options
    if argument:
        name, value = parse_setting(argument)
        options.pop(name, None)
        if value is not None:
            options[name] = value
    for name, value in options.items():
        chat.remark(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    if not options:
        chat.remark("nothing is set: the server's defaults apply")


def _reasoning(chat: Interactive, argument: str) -> None:
    chat.unfold = not chat.unfold
    if chat.unfold and chat.conversation.reasoning:
        chat.console.print(reasoning_text(chat.conversation.reasoning))
    chat.remark(f"reasoning is {'shown' if chat.unfold else 'folded'}")


def _retry(chat: Interactive, argument: str) -> None:
    question = chat.conversation.retract()
    if question is None:
        raise UsageError("there is no question to ask again")
    chat.remark(question)
    chat.ask(question)


def _save(chat: Interactive, argument: str) -> None:
    if not argument:
        raise UsageError("write /save FILE; a file named .json gets the messages, any other a transcript")
    messages = chat.conversation.all_messages
    try:
        path = Path(argument).expanduser()
        if path.suffix == ".json":
            path.write_text(json.dumps(messages, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        else:
            path.write_text(transcript(messages), encoding="utf-8")
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot write {argument}: {reason}") from error
    chat.remark(f"saved {len(messages)} messages in {path}")


def _exit(chat: Interactive, argument: str) -> None:
    raise EOFError


COMMANDS = {
    "help": Command("", "show this", _help),
    "clear": Command("", "begin a new conversation", _clear),
    "system": Command("[TEXT]", "show or change the instructions; - removes them", _system),
    "model": Command("[NAME]", "list the models or choose one", _model),
    "set": Command("[NAME=VALUE]", "show or change a request field: temperature=0.5", _set),
    "reasoning": Command("", "show the reasoning, also of the last answer, or fold it", _reasoning),
    "retry": Command("", "ask the last question again", _retry),
    "save": Command("FILE", "write the conversation: .json, or else Markdown", _save),
    "exit": Command("", "leave", _exit),
}
KEYS = {
    "Alt-Enter": "a new line; also Ctrl-J, or a backslash before Enter",
    "Ctrl-C": "stop the answer",
    "Ctrl-D": "leave",
}
