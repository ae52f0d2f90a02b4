"""`python -m docs.make` writes what it makes into docs/; a test holds that nothing there is out of date."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from docs.make.commands import commands_page
from docs.make.figures import with_figures
from docs.make.ring import ring_picture
from docs.make.way import way_picture

DOCS = Path(__file__).parent.parent

MADE: dict[str, Callable[[], str]] = {
    "../README.md": partial(with_figures, "README.md", "cpu.json"),
    "commands.md": commands_page,
    "performance.md": partial(with_figures, "docs/performance.md", "cpu-amx.json"),
    "pictures/ring.svg": ring_picture,
    "pictures/way.svg": way_picture,
}
"""What is made, by its place in docs/."""

if __name__ == "__main__":
    for name, make in MADE.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
