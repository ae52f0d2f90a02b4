"""Markdown while it is being written: which blocks are finished, and how they look on a terminal."""

from markdown_it import MarkdownIt
from rich.markdown import Markdown

PARSER = MarkdownIt().enable(["strikethrough", "table"]).disable(["html_block", "html_inline"])
"""HTML tags are shown as text: rich would leave them out, and spoil an answer about HTML."""


def split_blocks(text: str) -> tuple[str, str]:
    """The blocks that no further text can change, and the last one, which is still growing.

    Only whole lines can tell where a block begins.

    >>> split_blocks("A *list*:\\n\\n- one\\n- tw")
    ('A *list*:\\n\\n', '- one\\n- tw')
    >>> split_blocks("```\\na\\n\\nb\\n")
    ('', '```\\na\\n\\nb\\n')
    """
    *lines, _ = text.split("\n")
    blocks = PARSER.parse("".join(f"{line}\n" for line in lines))
    starts = [token.map[0] for token in blocks if token.level == 0 and token.map and token.nesting >= 0]
    if not starts:
        return "", text
    finished = "".join(f"{line}\n" for line in lines[: starts[-1]])
    return finished, text[len(finished) :]


class Blocks(Markdown):
    """Markdown as in chats: a line break is a line break, and code has the terminal's own colours."""

    def __init__(self, text: str) -> None:
        super().__init__(text, code_theme="ansi_dark")
        self.parsed = PARSER.parse(text)
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "softbreak":
                    child.type = "hardbreak"
