"""The page for a browser: a chat with the model, in files that are sent as they are."""

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
INDEX = FOLDER / "index.html"
MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES: Mapping[str, Path] = {"/": INDEX} | {
    f"/page/{file.relative_to(FOLDER).as_posix()}": file for file in FOLDER.rglob("*") if file.suffix in MEDIA_TYPES
}
"""By their paths on the server. There is nothing of the model or of its users in them."""
