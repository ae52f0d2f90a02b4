"""Sizes on the command line."""

import re

import typer

from engine.config import MOST

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B)?", re.IGNORECASE)


def parse_size(text: str | int) -> int:
    """Bytes: a number with K, M, G or T (or KiB, …) for powers of 1024, KB, MB, GB or TB for powers of 1000.

    >>> parse_size("4G"), parse_size("512MiB"), parse_size("1.5 GB"), parse_size("4096")
    (4294967296, 536870912, 1500000000, 4096)
    """
    text = str(text)
    match = SIZE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a size like 4G, 512MiB or 80GB")
    number, prefix, unit = match.groups()
    base = 1000 if (unit or "").upper() == "B" else 1024
    exponent = "KMGT".index(prefix.upper()) + 1 if prefix else 0
    size = float(number) * base**exponent
    if size > MOST:
        raise typer.BadParameter(f"{text[:40]!r} is more than there can be")
    return int(size)
