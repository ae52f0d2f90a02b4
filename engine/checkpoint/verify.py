"""Checks a checkpoint against its config, from the files' headers alone: every tensor is accounted for.

Nothing is allocated and no weight is read, so a broken checkpoint is refused within milliseconds.
"""

from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.headers import TensorHeader, raise_first, read_checkpoint_headers, weights_directory
from engine.checkpoint.names import BLOCK_COLUMNS, Source, expected_tensors, recognise
from engine.config import ExpertFormat, ModelConfig
from engine.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One tensor to read, and where it goes."""

    tensor: TensorHeader
    source: Source


@dataclass(frozen=True, slots=True)
class Manifest:
    """A verified checkpoint: what it holds, in the order of the files' bytes."""

    experts: ExpertFormat
    entries: tuple[ManifestEntry, ...]

    @property
    def total_bytes(self) -> int:
        return sum(entry.tensor.nbytes for entry in self.entries)


def verify_checkpoint(directory: Path, config: ModelConfig) -> Manifest:
    """Checks the checkpoint in `directory` against `config`.

    Raises CheckpointError with one line naming file and tensor: missing, extra, wrong shape, wrong dtype,
    truncated or otherwise malformed. Of several problems, it gives the first and the number of the others.
    """
    tensors = read_checkpoint_headers(directory)
    layout, experts = recognise(set(tensors))
    if experts == "mxfp4":
        check_columns(directory, config)
    expected = expected_tensors(config, layout, experts)
    files = {tensor.file for tensor in tensors.values()}
    home = files.pop() if len(files) == 1 else weights_directory(directory)
    problems = [
        f"{home}: {name}: missing" for name, source in expected.items() if name not in tensors and not source.optional
    ]
    entries = []
    for name, tensor in tensors.items():
        source = expected.get(name)
        if source is None:
            problems.append(f"{tensor.file}: {name}: not a tensor of this model")
        elif problem := mismatch(tensor, source):
            problems.append(f"{tensor.file}: {name}: {problem}")
        elif not source.optional:
            entries.append(ManifestEntry(tensor, source))
    raise_first(problems)
    return Manifest(experts, tuple(entries))


def check_columns(directory: Path, config: ModelConfig) -> None:
    for name in ("hidden_size", "intermediate_size"):
        columns = getattr(config, name)
        if columns % BLOCK_COLUMNS:
            raise CheckpointError(
                f"{weights_directory(directory)}: MXFP4 experts come in blocks of {BLOCK_COLUMNS} columns, "
                f"but {name} is {columns}"
            )


def mismatch(tensor: TensorHeader, source: Source) -> str | None:
    """What is wrong with a tensor on disk, if anything."""
    if tensor.shape != source.shape:
        return f"shape {list(tensor.shape)}, expected {list(source.shape)}"
    if tensor.dtype not in source.dtypes:
        return f"dtype {tensor.dtype}, expected {' or '.join(sorted(source.dtypes))}"
    return None
