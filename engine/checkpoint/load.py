"""Reads the files straight into the weights, a piece at a time.

The files are read, not mapped: touching mapped pages costs a fault for every few of them, which makes loading from warm
memory take half as long again as reading, and each touched page counts as the process's own memory. A tensor whose
dtype, orientation or device in memory differs from the disk's goes through one small buffer. So does one that becomes
fp8, with a scale for each row: its bfloat16 matrix never exists as a whole.

For a GPU there are two such buffers, pinned: one is copied to the device while the next piece is read into the other.
So the host never holds more of a checkpoint than these, and pieces are converted and transposed on the device.
"""

from collections.abc import Callable, Iterator
from io import FileIO

import torch
from torch import Tensor

from engine.checkpoint.headers import TensorHeader
from engine.checkpoint.verify import Manifest, ManifestEntry
from engine.errors import CheckpointError
from engine.model.weights import Matrix, Weights, weight_matrix

PIECE_BYTES = 32 * 2**20
"""Large enough to read at full speed, small beside any checkpoint worth measuring."""

TORCH_DTYPES = {"U8": torch.uint8, "BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}


def load_weights(manifest: Manifest, weights: Weights, progress: Callable[[int, int], None]) -> None:
    """Fills every tensor of `weights`; `progress(done, total)`, in bytes, is called after each piece.

    Numbers are converted to the destination's dtype; packed experts stay packed. Raises CheckpointError, before
    reading, if the manifest does not fill every tensor exactly once, and for a file that can no longer be read.
    """
    check_coverage(manifest, weights)
    device = next(iter(weights.values())).device
    buffers = buffers_for(device, max(largest_piece(entry.tensor) for entry in manifest.entries))
    done, total = 0, manifest.total_bytes
    for entry in manifest.entries:
        for count in load_tensor(entry, destination(entry, weights), buffers):
            done += count
            progress(done, total)


def check_coverage(manifest: Manifest, weights: Weights) -> None:
    """Checks that the manifest's tensors fill every tensor of `weights` once, with the right shape."""
    names = [name.removesuffix(".values") for name in weights if not name.endswith(".row_scales")]
    filled: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    for entry in manifest.entries:
        name, where = entry.source.destination, f"{entry.tensor.file}: {entry.tensor.name}"
        if name not in filled:
            raise CheckpointError(f"{where}: the model has no {name}")
        shape = entry.source.shape
        if entry.source.transpose:
            shape = (*shape[:-2], shape[-1], shape[-2])
        target = destination(entry, weights)
        if target.shape != shape:
            raise CheckpointError(f"{where}: {name} is {list(target.shape)}, not {list(shape)}")
        filled[name].append(entry.source.rows or (0, len(target)))
    for name, ranges in filled.items():
        end = 0
        for first, stop in sorted(ranges):
            if first < end:
                raise CheckpointError(f"{name}: rows {first} to {end} are filled twice")
            if first > end:
                break
            end = stop
        if end != len(weight_matrix(weights, name)):
            raise CheckpointError(f"{name}: rows from {end} are not filled")


def destination(entry: ManifestEntry, weights: Weights) -> Matrix:
    """The part of the weights that a tensor on disk fills."""
    target = weight_matrix(weights, entry.source.destination)
    return target if entry.source.rows is None else target[slice(*entry.source.rows)]


class Buffers:
    """Memory for pieces, uint8. A CPU copies from it at once, so one buffer is enough."""

    def __init__(self, nbytes: int) -> None:
        self._memory = torch.empty(nbytes, dtype=torch.uint8)

    def take(self) -> Tensor:
        """A buffer that may be filled now."""
        return self._memory

    def copy(self, piece: Tensor, target: Matrix, *, transpose: bool) -> None:
        """Copies `piece`, in the buffer taken last, to `target`, its last two dimensions swapped if `transpose`."""
        target.copy_(piece.transpose(-1, -2) if transpose else piece)


class PinnedBuffers(Buffers):
    """Two buffers, taken in turn: a GPU copies from one while the other is filled. `take` waits until one is free."""

    def __init__(self, nbytes: int, device: torch.device) -> None:
        self._device = device
        self._pinned = [torch.empty(nbytes, dtype=torch.uint8, pin_memory=True) for _ in range(2)]
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._turn = 0

    def take(self) -> Tensor:
        if (copied := self._copied[self._turn]) is not None:
            copied.synchronize()
        return self._pinned[self._turn]

    def copy(self, piece: Tensor, target: Matrix, *, transpose: bool) -> None:
        super().copy(piece.to(self._device, non_blocking=True), target, transpose=transpose)
        event = self._copied[self._turn] = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        self._turn = 1 - self._turn


def buffers_for(device: torch.device, nbytes: int) -> Buffers:
    return PinnedBuffers(nbytes, device) if device.type == "cuda" else Buffers(nbytes)


def load_tensor(entry: ManifestEntry, target: Matrix, buffers: Buffers) -> Iterator[int]:
    """Fills `target` by ranges of its first dimension; yields the bytes read for each."""
    tensor, transpose = entry.tensor, entry.source.transpose
    dtype = TORCH_DTYPES[tensor.dtype]
    straight = None
    if isinstance(target, Tensor) and target.device.type == "cpu" and target.dtype == dtype and not transpose:
        straight = target
    rows, step = tensor.shape[0], rows_at_once(tensor)
    try:
        with tensor.file.open("rb", buffering=0) as file:
            file.seek(tensor.offset)
            for start in range(0, rows, step):
                part = target[start : start + step]
                if straight is not None:
                    piece = straight[start : start + step]
                else:
                    shape = (len(part), *tensor.shape[1:])
                    piece = buffers.take()[: len(part) * row_bytes(tensor)].view(dtype).view(shape)
                if not read_into(file, piece):
                    raise CheckpointError(f"{tensor.file}: {tensor.name}: truncated while it was read")
                if straight is None:
                    buffers.copy(piece, part, transpose=transpose)
                yield piece.nbytes
    except OSError as error:
        raise CheckpointError(f"{tensor.file}: {tensor.name}: {error.strerror}") from None


def read_into(file: FileIO, piece: Tensor) -> bool:
    """Fills a contiguous tensor with the next bytes of `file`; False if there are too few."""
    unread = piece.view(-1).view(torch.uint8).numpy().data
    while unread:
        count = file.readinto(unread)
        if not count:
            return False
        unread = unread[count:]
    return True


def row_bytes(tensor: TensorHeader) -> int:
    return tensor.nbytes // tensor.shape[0]


def rows_at_once(tensor: TensorHeader) -> int:
    return max(1, PIECE_BYTES // row_bytes(tensor))


def largest_piece(tensor: TensorHeader) -> int:
    return min(tensor.nbytes, rows_at_once(tensor) * row_bytes(tensor))
