"""A short name for a checkpoint's content, without reading all of it."""

import hashlib
from pathlib import Path

from engine.checkpoint.headers import weights_directory

SAMPLES = 16
SAMPLE_BYTES = 4096


def fingerprint(directory: Path) -> str:
    """Eight hexadecimal digits over config.json and, of each safetensors file, its size and samples of its bytes.

    The first sample is the header's beginning, the last one ends the file. Retrained weights differ everywhere, so
    samples tell them apart; a change of single values between them goes unseen. Raises OSError.
    """
    root = weights_directory(directory)
    digest = hashlib.sha256((root / "config.json").read_bytes())
    for path in sorted(root.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for offset in sample_offsets(size):
                file.seek(offset)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:8]


def sample_offsets(size: int) -> list[int]:
    """Where the samples of a file of `size` bytes begin, evenly spread from its start to its end.

    >>> sample_offsets(4096 * 31)[:3], sample_offsets(4096 * 31)[-1], sample_offsets(100)
    ([0, 8192, 16384], 122880, [0])
    """
    last = max(0, size - SAMPLE_BYTES)
    return sorted({last * at // (SAMPLES - 1) for at in range(SAMPLES)})
