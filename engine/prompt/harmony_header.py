"""The header of a harmony message, read as far as it makes sense.

Between `<|start|>` and `<|message|>` are up to three sections, separated by special tokens:
`ROLE[ to=RECIPIENT]`, `<|channel|>CHANNEL[ to=RECIPIENT][ TYPE]` and `<|constrain|>TYPE`. Models do not always
keep to that, so a section is read from its beginning, and the text that does not belong there is left over: it
is junk if the header continues, and the beginning of the body if it does not.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

Channel = Literal["analysis", "commentary", "final"]
SectionKind = Literal["role", "channel", "constrain"]

CHANNELS: dict[str, Channel] = {"analysis": "analysis", "commentary": "commentary", "final": "final"}
BUILTIN_TOOLS = frozenset({"browser", "python"})
NOT_TOOLS = frozenset({"", "all", "assistant", "functions", "system", "user"})

ROLE = re.compile(r"\s*(assistant|(?:user|system|developer|tool|functions\.[\w.-]{1,256})(?!\w))")
ASSISTANT = re.compile(r"\s*(assistant)")
CHANNEL = re.compile(rf"\s*({'|'.join(CHANNELS)})")
RECIPIENT = re.compile(r"\s*to=((?:functions:)?[\w.-]{1,256})")
CONTENT_TYPE = re.compile(r"\s*(?:json|code)(?!\w)")
MISPLACED = re.compile(r"(?:^|\s)to=(functions[.:][\w.-]{1,256})")
"""A recipient after a content type or noise; only a full name counts, because noise may be prose."""

HALF_WORDS = frozenset(
    word[:end] for word in (*CHANNELS, "assistant", "to=", "json", "code") for end in range(1, len(word))
)


@dataclass(frozen=True, slots=True)
class Section:
    """One section as far as it was understood: `rest` is the text after that, `oddities` counts its mistakes."""

    rest: str
    channel: Channel | None = None
    recipient: str | None = None
    oddities: int = 0


def read_section(kind: SectionKind, text: str, role: re.Pattern[str] | None = None) -> Section:
    """Reads a section's text. `role` is what a role section may begin with.

    >>> read_section("channel", "commentary to=functions.add json")
    Section(rest='', channel='commentary', recipient='functions.add', oddities=0)
    >>> read_section("role", " to=add and more")
    Section(rest=' and more', channel=None, recipient='functions.add', oddities=1)
    """
    section = Section(text)
    if kind == "role" and role and (match := role.match(text)):
        section = Section(text[match.end() :], oddities=int(match[1] != "assistant"))
    elif kind == "channel" and (match := CHANNEL.match(text)):
        section = Section(text[match.end() :], channel=CHANNELS[match[1]])
    if match := RECIPIENT.match(section.rest):
        recipient = _tool(match[1])
        section = replace(
            section,
            rest=section.rest[match.end() :],
            recipient=recipient,
            oddities=section.oddities + (recipient != match[1]),
        )
    # A role section has a type only after a recipient; without one, the word begins an answer.
    if (kind != "role" or section.recipient) and (match := CONTENT_TYPE.match(section.rest)):
        section = replace(section, rest=section.rest[match.end() :])
    return section


def is_builtin(recipient: str) -> bool:
    """Whether a recipient is one of the tools that the published models know from training.

    >>> [is_builtin(name) for name in ("python", "browser.search", "functions.python", "repo_browser.open_file")]
    [True, True, False, False]
    """
    return recipient in BUILTIN_TOOLS or recipient.startswith("browser.")


def _tool(name: str) -> str | None:
    name = name.replace(":", ".").rstrip(".")
    if name in NOT_TOOLS:
        return None
    return name if "." in name or name in BUILTIN_TOOLS else f"functions.{name}"


class Header:
    """A header that is being written. `role` is what its role section may begin with: anything after
    `<|start|>` (ROLE), nothing if the role was given (None), at most the assistant if the `<|start|>` is
    missing (ASSISTANT).

    `recoveries` counts deviations from the format.
    """

    def __init__(self, role: re.Pattern[str] | None) -> None:
        self.recipient: str | None = None
        self.recoveries = int(role is ASSISTANT)
        self._channel: Channel | None = None
        self._role = role
        self._kind: SectionKind = "role"
        self._text = ""

    @property
    def is_blank(self) -> bool:
        return self._kind == "role" and not self._text.strip()

    def add(self, text: str) -> None:
        self._text += text

    def unexplained(self) -> str:
        """The text of the section being written that does not belong in a header."""
        section = read_section(self._kind, self._text, self._role)
        told = self.recipient is not None or section.recipient is not None
        return section.rest if told else MISPLACED.sub("", section.rest, count=1)

    def begin(self, kind: SectionKind) -> None:
        """Ends the section being written and begins another one."""
        self.close()
        self.recoveries += kind == self._kind
        self._kind = kind

    def close(self) -> None:
        """Ends the section being written; its unexplained text is junk. A tool or a channel in the junk counts only if
        none was given elsewhere."""
        junk = self.finish().strip()
        self.recoveries += bool(junk)
        self.heed(junk)
        self._channel = self._channel or CHANNELS.get(junk)

    def finish(self) -> str:
        """Ends the section being written. Returns its unexplained text."""
        section = read_section(self._kind, self._text, self._role)
        self._text = ""
        self._channel = section.channel or self._channel
        self.recipient = section.recipient or self.recipient
        self.recoveries += section.oddities
        return section.rest

    def heed(self, rest: str) -> str:
        """Takes a recipient from a section's unexplained text, if none was given. Returns the text after it."""
        found = None if self.recipient is not None else MISPLACED.search(rest)
        if found is None:
            return rest
        self.recipient = _tool(found[1])
        return rest[found.end() :]

    def may_go_on(self, rest: str) -> bool:
        """Whether unexplained text may be a header word that was cut off. Never in a turn without markup."""
        return not (self._role is None and self._kind == "role") and rest.strip() in HALF_WORDS

    def resolve_channel(self) -> Channel:
        """The channel; if the header has no known one, commentary for a tool's message, else final."""
        if self._channel is not None:
            return self._channel
        self.recoveries += 1
        return "commentary" if self.recipient else "final"
