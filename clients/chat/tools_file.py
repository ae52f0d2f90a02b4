"""Tools for a conversation in the terminal."""

import json
from pathlib import Path
from typing import Any

from clients.errors import UsageError


def read_tools(path: Path) -> list[dict[str, Any]]:
    """A JSON list of tools in OpenAI's form. Raises UsageError."""
    try:
        tools = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(tools, list):
        raise UsageError(f"{path} is not a list of tools")
    return tools
