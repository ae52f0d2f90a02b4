"""A short name for a checkpoint's content, without reading all of it."""

import hashlib
from pathlib import Path

from engine.checkpoint.headers import weights_directory
from engine.errors import CheckpointError

SAMPLES = 16
SAMPLE_BYTES = 4096


def fingerprint(directory: Path) -> str:
    """Eight hexadecimal digits over config.json and each safetensors file's name, size and samples of its bytes.

    The first sample is the header's beginning, the last one ends the file. Retrained weights differ everywhere, so
    samples tell them apart; a change of single values between them goes unseen. Raises CheckpointError for a file
    that cannot be read.
    """
    root = weights_directory(directory)
    digest = hashlib.sha256()
    for path in (root / "config.json", *sorted(root.glob("*.safetensors"))):
        try:
            digest.update(path.read_bytes() if path.suffix == ".json" else samples(path))
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}") from None
    return digest.hexdigest()[:8]


def samples(path: Path) -> bytes:
    """A file's name and size, and the bytes at its `sample_offsets`."""
    size = path.stat().st_size
    read = [f"{path.name} {size}".encode()]
    with path.open("rb") as file:
        for offset in sample_offsets(size):
            file.seek(offset)
            read.append(file.read(SAMPLE_BYTES))
    return b"".join(read)


def sample_offsets(size: int) -> list[int]:
    """Where the samples of a file of `size` bytes begin, evenly spread from its start to its end.

    >>> sample_offsets(4096 * 31)[:3], sample_offsets(4096 * 31)[-1], sample_offsets(100)
    ([0, 8192, 16384], 122880, [0])
    """
    last = max(0, size - SAMPLE_BYTES)
    return sorted({last * at // (SAMPLES - 1) for at in range(SAMPLES)})
