"""The chat page for browsers, made of static files."""

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
INDEX = FOLDER / "index.html"
MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES: Mapping[str, Path] = {"/": INDEX} | {
    f"/page/{file.relative_to(FOLDER).as_posix()}": file for file in FOLDER.rglob("*") if file.suffix in MEDIA_TYPES
}
"""The files by their paths on the server. They contain nothing about the model or its users."""
