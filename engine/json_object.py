"""A JSON object read key by key: every surprise becomes one line that names file and key."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import MAX_INT64
from engine.errors import CheckpointError, ConfigError

MAX_JSON_BYTES = 100 * 2**20
"""Far above any config or index (a 120b index is 60 KB): a file of weights named *.json is not read whole."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """The keys of one JSON object. `where` names it in messages: a file, or a file and the key that holds it.

    Every reader takes the key's possible names and reads the first that is present (and not null). It raises
    ConfigError if the value has the wrong type, or is missing and no default is given.
    """

    where: str
    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def _find(self, names: tuple[str, ...]) -> tuple[str, Any]:
        for name in names:
            if name in self:
                return name, self.values[name]
        return names[0], None

    def _wrong(self, name: str, wanted: str, value: Any) -> ConfigError:
        if value is None:
            return ConfigError(f"{self.where}: {name} is missing")
        return ConfigError(f"{self.where}: {name} must be {wanted}, got {shown(value)}")

    def integer(self, *names: str, default: int | None = None) -> int:
        name, value = self._find(names)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not -MAX_INT64 <= value <= MAX_INT64:
            raise self._wrong(name, "an integer", value)
        return value

    def size(self, *names: str, default: int | None = None) -> int:
        """An integer of at least 1."""
        value = self.integer(*names, default=default)
        if value < 1:
            raise self._wrong(self._find(names)[0], "at least 1", value)
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        name, value = self._find(names)
        if value is None and default is not None:
            return default
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) <= sys.float_info.max:
            raise self._wrong(name, "a number", value)
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def text(self, *names: str, default: str | None = None) -> str:
        name, value = self._find(names)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of strings", value)
        return tuple(value)

    def integers(self, name: str) -> tuple[int, ...]:
        """One integer, or a list of them; nothing if it is absent."""
        value = self.values.get(name, [])
        items = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
            raise self._wrong(name, "an integer or a list of them", value)
        return tuple(items)

    def object(self, name: str) -> "JsonObject":
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return JsonObject(f"{self.where}: {name}", value)


def shown(value: Any) -> str:
    """A value for a message: one line, a long one cut off."""
    return json.dumps(value)[:80]


def read_json_object(path: Path, advice: str = "is this a complete model directory? GGUF is not served") -> JsonObject:
    """Raises CheckpointError if the file is missing (with `advice`), unreadable, too large or not a JSON object."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: larger than {MAX_JSON_BYTES >> 20} MiB")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file: {advice}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return JsonObject(str(path), values)
