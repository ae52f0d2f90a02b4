"""Which safetensors files make up a checkpoint, and what their headers promise: no weight is read.

A safetensors file is 8 bytes (little-endian length of the header), the header (a JSON object: tensor name to
dtype, shape and data_offsets within what follows), and the tensors' bytes, without gaps. The header is read
here and not by the safetensors library: every way it can be wrong gives one line naming file and tensor.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeGuard

from engine.config import MAX_INT64
from engine.errors import CheckpointError
from engine.json_object import read_json_object

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""
MAX_DIMENSIONS = 64

ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """One tensor as a file's header describes it; its bytes begin at `offset` of the file."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def raise_first(problems: list[str]) -> None:
    """Raises CheckpointError with the first problem and the number of the others, if there are any."""
    if problems:
        others = f" … and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise CheckpointError(problems[0] + others)


def weights_directory(directory: Path) -> Path:
    """Where the weights are: in the directory itself, else, as in a hub download, in its original/."""
    original = directory / "original"
    if not any(directory.glob("*.safetensors")) and any(original.glob("*.safetensors")):
        return original
    return directory


def read_checkpoint_headers(directory: Path) -> dict[str, TensorHeader]:
    """Every tensor of the checkpoint in `directory`, from the headers of the files that make it up.

    Those are the files that model.safetensors.index.json names, else model.safetensors, else every *.safetensors. An
    index that does not name a model.safetensors beside it is left over from an earlier save, and is ignored.

    Raises CheckpointError for a file that is missing or malformed, a tensor in two files, an index that
    disagrees with the files.
    """
    root = weights_directory(directory)
    single = (root / SINGLE).exists()
    weight_map = read_index(root / INDEX) if (root / INDEX).exists() else None
    if weight_map is not None and single and SINGLE not in weight_map.values():
        weight_map = None
    if weight_map is not None:
        files = sorted({root / file for file in weight_map.values()})
    else:
        files = [root / SINGLE] if single else sorted(root.glob("*.safetensors"))
    if not files:
        raise CheckpointError(f"{root}: no *.safetensors files")
    tensors: dict[str, TensorHeader] = {}
    problems: list[str] = []
    for file in files:
        for header in read_headers(file):
            if header.name in tensors:
                problems.append(f"{file}: {header.name}: is also in {tensors[header.name].file.name}")
            tensors[header.name] = header
    if weight_map is not None:
        problems += index_problems(root, weight_map, tensors)
    raise_first(problems)
    return tensors


def read_index(path: Path) -> dict[str, str]:
    """Tensor name → file name."""
    weight_map = read_json_object(path).values.get("weight_map")
    if not isinstance(weight_map, dict):
        raise CheckpointError(f"{path}: weight_map is missing or not an object")
    for tensor, file in weight_map.items():
        check_name(path, tensor)
        if not isinstance(file, str) or not file or Path(file).name != file or not file.isprintable():
            raise CheckpointError(f"{path}: {tensor}: {file!r:.80} is not the name of a file beside the index")
    return weight_map


def index_problems(root: Path, weight_map: dict[str, str], tensors: dict[str, TensorHeader]) -> list[str]:
    lacking = [
        f"{root / file}: {name}: missing, but {INDEX} says it is there"
        for name, file in weight_map.items()
        if name not in tensors or tensors[name].file.name != file
    ]
    unnamed = [f"{t.file}: {name}: not in {INDEX}" for name, t in tensors.items() if name not in weight_map]
    return lacking + unnamed


def read_headers(file: Path) -> list[TensorHeader]:
    """The tensors of one file in the order of their data. Raises CheckpointError for a malformed file."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8:
                raise CheckpointError(f"{file}: truncated: {size} bytes are not a safetensors file")
            if length > MAX_HEADER_BYTES:
                raise CheckpointError(f"{file}: header of {length} bytes, over the limit of {MAX_HEADER_BYTES}")
            if 8 + length > size:
                raise CheckpointError(f"{file}: truncated: header of {length} bytes in a file of {size}")
            text = stream.read(length)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror}") from None
    entries = parse_header(file, text)
    entries.pop("__metadata__", None)
    for name in entries:
        check_name(file, name)
    tensors = [tensor_header(file, name, entry, 8 + length) for name, entry in entries.items()]
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.nbytes))
    raise_first(data_problems(file, tensors, 8 + length, size))
    return tensors


def parse_header(file: Path, text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            check_name(file, twice)
            raise CheckpointError(f"{file}: {twice}: twice in the header")
        return entries

    try:
        entries = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: header is not JSON: {error}") from None
    if not isinstance(entries, dict):
        raise CheckpointError(f"{file}: header is not a JSON object")
    return entries


def check_name(file: Path, tensor: str) -> None:
    """Messages show tensor names on a terminal or in a log. Raises CheckpointError for a name with control characters
    or others that are not printable."""
    if not tensor.isprintable():
        raise CheckpointError(f"{file}: {tensor!r:.80}: not the name of a tensor")


def tensor_header(file: Path, name: str, entry: Any, data_start: int) -> TensorHeader:
    def sizes(value: Any) -> TypeGuard[list[int]]:
        sound = isinstance(value, list) and len(value) <= MAX_DIMENSIONS
        return sound and all(type(item) is int and 0 <= item <= MAX_INT64 for item in value)

    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise CheckpointError(f"{file}: {name}: unknown dtype {dtype!r:.80}")
    if not sizes(shape):
        raise CheckpointError(f"{file}: {name}: shape {shape!r:.80} is not a list of sizes")
    if not sizes(offsets) or len(offsets) != 2:
        raise CheckpointError(f"{file}: {name}: data_offsets {offsets!r:.80} are not a start and a stop")
    start, stop = offsets
    if stop - start != prod(shape) * ITEM_BYTES[dtype]:
        raise CheckpointError(
            f"{file}: {name}: {dtype} {shape} is {prod(shape) * ITEM_BYTES[dtype]} bytes, "
            f"but data_offsets {offsets} span {stop - start}"
        )
    return TensorHeader(file, name, dtype, tuple(shape), data_start + start, stop - start)


def data_problems(file: Path, tensors: list[TensorHeader], end: int, size: int) -> list[str]:
    """What is wrong with the tensors' places in a file of `size` bytes whose header ends at `end`: tensors that
    end beyond the file or overlap, or bytes between them that belong to none."""
    problems = []
    before = "the header"
    for tensor in tensors:
        stop = tensor.offset + tensor.nbytes
        if stop > size:
            problems.append(f"{file}: {tensor.name}: truncated: ends at byte {stop} of a file of {size}")
        elif tensor.offset < end:
            problems.append(f"{file}: {tensor.name}: overlaps {before}")
        elif tensor.offset > end:
            unused = tensor.offset - end
            problems.append(f"{file}: {tensor.name}: {unused} bytes before it belong to no tensor")
        end, before = max(end, stop), tensor.name
    if end < size:
        problems.append(f"{file}: {size - end} bytes after {before} belong to no tensor")
    return problems
