"""`python -m docs.make` writes the generated files of docs/; a test fails if any of them is out of date."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from docs.make.commands import commands_page
from docs.make.figures import with_figures
from docs.make.ring import ring_picture
from docs.make.way import way_picture

DOCS = Path(__file__).parent.parent

MADE: dict[str, Callable[[], str]] = {
    "../README.md": partial(with_figures, "README.md"),
    "commands.md": commands_page,
    "performance.md": partial(with_figures, "docs/performance.md"),
    "pictures/ring.svg": ring_picture,
    "pictures/way.svg": way_picture,
}
"""The generated files, by their paths in docs/."""

if __name__ == "__main__":
    for name, make in MADE.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
