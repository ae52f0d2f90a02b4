"""safetensors files written byte by byte: sparse ones of any size, and broken ones."""

import json
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

ITEM_BYTES = {"U8": 1, "BF16": 2, "F16": 2, "F32": 4, "I64": 8}

Entry = tuple[str, str, tuple[int, ...]]
"""A tensor's name, dtype and shape."""


def layout(entries: Iterable[Entry]) -> tuple[dict[str, Any], int]:
    """The header for consecutive tensors, and the bytes of their data."""
    header: dict[str, Any] = {}
    end = 0
    for name, dtype, shape in entries:
        start, end = end, end + prod(shape) * ITEM_BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    return header, end


def write_file(file: Path, header: object, data_bytes: int) -> None:
    """Writes a file with this header and the given number of zero bytes, which take no room on disk."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + data_bytes)


def write_sparse(file: Path, entries: Iterable[Entry]) -> None:
    write_file(file, *layout(entries))
