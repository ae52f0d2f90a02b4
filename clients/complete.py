"""A text's continuation on standard output."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from clients.client import Carousel
from clients.terminal import show


def complete(client: Carousel, prompt: str, options: Mapping[str, Any]) -> None:
    """Writes the continuation of `prompt` as it comes. `options` are request fields. Raises ClientError."""
    show(Console(), client.stream_complete(prompt, **options))
