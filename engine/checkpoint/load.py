"""From the files to where the weights live, a piece at a time through one small buffer.

The files are read and not mapped: touching a mapped page costs a fault for every few of them, which makes
loading from warm memory half as long again as reading, and each touched page counts as the process' own
memory.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from engine.checkpoint.headers import TensorHeader
from engine.checkpoint.verify import Manifest, ManifestEntry
from engine.errors import CheckpointError
from engine.model.weights import Weights

PIECE_BYTES = 32 * 2**20
"""Large enough to read at full speed, small beside any checkpoint worth measuring."""

TORCH_DTYPES = {"U8": torch.uint8, "BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def load_weights(manifest: Manifest, weights: Weights, progress: Callable[[int, int], None]) -> None:
    """Fills every tensor of `weights`; `progress(done, total)`, in bytes, is called after each piece.

    Numbers are converted to the destination's dtype; packed experts stay packed. On the device "meta" nothing
    is read. Raises CheckpointError, before reading, if the manifest does not fill every tensor just once, and
    for a file that can no longer be read.
    """
    check_coverage(manifest, weights)
    buffer = torch.empty(max(largest_piece(entry.tensor) for entry in manifest.entries), dtype=torch.uint8)
    done, total = 0, manifest.total_bytes
    for entry in manifest.entries:
        target = destination(entry, weights)
        if target.is_meta:
            done += entry.tensor.nbytes
            progress(done, total)
            continue
        for rows, piece in read_pieces(entry.tensor, buffer):
            target[rows].copy_(piece.transpose(-1, -2) if entry.source.transpose else piece)
            done += piece.nbytes
            progress(done, total)


def check_coverage(manifest: Manifest, weights: Weights) -> None:
    """Holds that the manifest's tensors fill every tensor of `weights` once, with the right shape."""
    filled: dict[str, list[tuple[int, int]]] = {name: [] for name in weights}
    for entry in manifest.entries:
        name, where = entry.source.destination, f"{entry.tensor.file}: {entry.tensor.name}"
        if name not in weights:
            raise CheckpointError(f"{where}: the model has no {name}")
        shape = entry.source.shape
        if entry.source.transpose:
            shape = (*shape[:-2], shape[-1], shape[-2])
        target = destination(entry, weights)
        if target.shape != shape:
            raise CheckpointError(f"{where}: {name} is {list(target.shape)}, not {list(shape)}")
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
    target = weights[entry.source.destination]
    return target if entry.source.rows is None else target[slice(*entry.source.rows)]


def rows_at_once(tensor: TensorHeader) -> int:
    return max(1, PIECE_BYTES // (tensor.nbytes // tensor.shape[0]))


def largest_piece(tensor: TensorHeader) -> int:
    return min(tensor.nbytes, rows_at_once(tensor) * (tensor.nbytes // tensor.shape[0]))


def read_pieces(tensor: TensorHeader, buffer: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Ranges of the first dimension and what is on disk there, valid until the next piece is asked for."""
    rows, row_bytes, step = tensor.shape[0], tensor.nbytes // tensor.shape[0], rows_at_once(tensor)
    try:
        with tensor.file.open("rb", buffering=0) as file:
            file.seek(tensor.offset)
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                piece = buffer[: (stop - start) * row_bytes]
                unread = piece.numpy().data
                while unread:
                    count = file.readinto(unread)
                    if not count:
                        raise CheckpointError(f"{tensor.file}: {tensor.name}: truncated while it was read")
                    unread = unread[count:]
                yield slice(start, stop), piece.view(TORCH_DTYPES[tensor.dtype]).view(-1, *tensor.shape[1:])
    except OSError as error:
        raise CheckpointError(f"{tensor.file}: {tensor.name}: {error.strerror}") from None
