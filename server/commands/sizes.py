"""Sizes on the command line, in bytes and in tokens."""

import re

import typer

from engine.config import MAX_INT64

TOKENS = re.compile(r"\s*([-+]?\d[\d_]*)([kKmM]?)\s*")
SCALES = {"": 1, "k": 1000, "K": 2**10, "m": 10**6, "M": 2**20}
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
    if size > MAX_INT64:
        raise typer.BadParameter(f"{text[:40]!r} is too large")
    return int(size)


def parse_tokens(text: str | int) -> int:
    """Tokens: a number, with k or m for powers of 1000, K or M for powers of 1024, as vLLM has it.

    >>> parse_tokens("4096"), parse_tokens("32k"), parse_tokens("32K")
    (4096, 32000, 32768)
    """
    match = TOKENS.fullmatch(str(text))
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a number of tokens like 8192, 32k (32,000) or 32K (32,768)")
    number, scale = match.groups()
    return int(number) * SCALES[scale]


def parse_length(text: str | int) -> int | None:
    """A context's length in tokens; None for "auto", which takes what fits."""
    return None if text == "auto" else parse_tokens(text)
