"""docs/pictures/terminal.svg: a real session with the embedded model. `python -m docs.make.terminal`"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "pictures" / "terminal.svg"
PROGRAM = [sys.executable, "-c", "from server.cli import main; main()"]
ASKED = (
    ["chat", "--temperature", "0"],
    ["complete", "Once upon a time", "--max-tokens", "60", "--temperature", "0"],
)
QUESTION = "Who are you?"


@contextmanager
def serving(console: Console) -> Iterator[str]:
    """Starts a server, prints its log on `console` until it is ready, and yields its URL."""
    command = [*PROGRAM, "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                console.print(Text(line.rstrip()))
                if ready := re.search(r"is ready: embedded at (\S+?)[;,]?(\s|$)", line):
                    break
            else:
                raise RuntimeError("the server did not start")
            yield ready[1]
        finally:
            process.terminate()


def show(console: Console, command: list[str], url: str) -> None:
    """Runs a client and prints its command line and output."""
    typed = QUESTION if command[0] == "chat" else None
    shown = " ".join(f'"{word}"' if " " in word else word for word in command)
    console.print(Text(f"$ {f'echo {QUESTION!r} | ' if typed else ''}carousel {shown}", style="bold"))
    environment = {**os.environ, "CAROUSEL_URL": url}
    done = subprocess.run(
        [*PROGRAM, *command], input=typed, env=environment, capture_output=True, text=True, check=True
    )
    console.print(Text(done.stdout.rstrip() + "\n"))


if __name__ == "__main__":
    with open(os.devnull, "w") as nowhere:
        console = Console(file=nowhere, record=True, width=108)
        console.print(Text("$ carousel serve --port 0 &", style="bold"))
        with serving(console) as url:
            console.print(Text(f"\n$ export CAROUSEL_URL={url}", style="bold"))
            for command in ASKED:
                show(console, command, url)
        PICTURE.write_text(console.export_svg(title="carousel"), encoding="utf-8")
