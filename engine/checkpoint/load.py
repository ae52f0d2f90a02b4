"""From the files to where the weights live: each piece is mapped, copied into its destination, and unmapped.

A mapped page counts as this process' memory once it is touched and stays so while its file is mapped. Every
piece therefore opens its file anew: beyond the weights themselves, at most PIECE_BYTES are resident at once.
"""

from collections.abc import Callable, Iterator

from safetensors import safe_open
from torch import Tensor

from engine.checkpoint.verify import Manifest, ManifestEntry
from engine.errors import CheckpointError
from engine.model.weights import Weights

PIECE_BYTES = 64 * 2**20


def load_weights(manifest: Manifest, weights: Weights, progress: Callable[[int, int], None]) -> None:
    """Fills every tensor of `weights`; `progress(done, total)`, in bytes, is called after each piece.

    Numbers are converted to the destination's dtype; packed experts stay packed. On the device "meta" nothing
    is read. Raises CheckpointError, before reading, if the manifest does not fill every tensor just once.
    """
    check_coverage(manifest, weights)
    done, total = 0, manifest.total_bytes
    for entry in manifest.entries:
        target = destination(entry, weights)
        for start, stop in pieces(entry):
            if not target.is_meta:
                copy_rows(entry, start, stop, target)
            done += (stop - start) * row_bytes(entry)
            progress(done, total)


def check_coverage(manifest: Manifest, weights: Weights) -> None:
    """Holds that the manifest's tensors fill every tensor of `weights` once, with the right shape."""
    filled: dict[str, list[tuple[int, int]]] = {name: [] for name in weights}
    for entry in manifest.entries:
        name = entry.source.destination
        if name is None or name not in weights:
            raise CheckpointError(f"{entry.file}: {entry.name}: the model has no {name}")
        shape = entry.source.shape
        target = destination(entry, weights)
        if entry.source.transpose:
            shape = (*shape[:-2], shape[-1], shape[-2])
        if target.shape != shape:
            raise CheckpointError(
                f"{entry.file}: {entry.name}: {name} is {list(target.shape)}, not {list(shape)}"
            )
        filled[name].append(entry.source.rows or (0, len(weights[name])))
    for name, ranges in filled.items():
        end = 0
        for first, stop in sorted(ranges):
            if first < end:
                raise CheckpointError(f"{name}: rows {first} to {end} are filled twice")
            if first > end:
                break
            end = stop
        if end != len(weights[name]):
            raise CheckpointError(f"{name}: rows from {end} are not filled")


def destination(entry: ManifestEntry, weights: Weights) -> Tensor:
    """The part of the weights that a tensor on disk fills."""
    assert entry.source.destination is not None
    target = weights[entry.source.destination]
    return target if entry.source.rows is None else target[slice(*entry.source.rows)]


def row_bytes(entry: ManifestEntry) -> int:
    return entry.nbytes // entry.source.shape[0]


def pieces(entry: ManifestEntry) -> Iterator[tuple[int, int]]:
    """Ranges of the first dimension, each of at most PIECE_BYTES, or one row."""
    rows = entry.source.shape[0]
    step = max(1, PIECE_BYTES // row_bytes(entry))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def copy_rows(entry: ManifestEntry, start: int, stop: int, target: Tensor) -> None:
    with safe_open(entry.file, framework="pt") as file:
        rows = file.get_slice(entry.name)[start:stop]
    target[start:stop].copy_(rows.transpose(-1, -2) if entry.source.transpose else rows)
