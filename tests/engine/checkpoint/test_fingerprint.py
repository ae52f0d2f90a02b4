"""A checkpoint's short name: the same for the same content, another for any other."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.checkpoint.fingerprint import SAMPLE_BYTES, fingerprint
from engine.errors import CheckpointError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, *, data: bytes = b"\0" * 100_000, window: int = 128, file: str = "model.safetensors") -> Path:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps({"sliding_window": window}))
        (directory / file).write_bytes(data)
        return directory

    return write


def test_it_is_of_the_content(checkpoint: Callable[..., Path]) -> None:
    first = fingerprint(checkpoint("a"))
    assert len(first) == 8
    assert int(first, 16) >= 0
    assert fingerprint(checkpoint("elsewhere")) == first
    others = [
        checkpoint("b", window=64),
        checkpoint("c", data=b"\0" * 100_001),
        checkpoint("d", data=b"\1" + b"\0" * 99_999),
        checkpoint("e", data=b"\0" * 99_999 + b"\1"),
        checkpoint("f", data=b"\0" * 50_000 + b"\1" * 50_000),
        checkpoint("g", file="model-00001-of-00001.safetensors"),
    ]
    assert len({first, *map(fingerprint, others)}) == 1 + len(others)


def test_a_checkpoint_without_weights_has_one(checkpoint: Callable[..., Path]) -> None:
    directory = checkpoint("a")
    (directory / "model.safetensors").unlink()
    assert len(fingerprint(directory)) == 8


def test_of_openais_layout_it_is_of_the_original(checkpoint: Callable[..., Path]) -> None:
    names = []
    for name, data in (("a", b"\0" * 1000), ("b", b"\1" * 1000)):
        (directory := checkpoint(f"{name}-top")).joinpath("model.safetensors").unlink()
        checkpoint(name, data=data).rename(directory / "original")
        names.append(fingerprint(directory))
        (directory / "config.json").unlink()
        assert fingerprint(directory) == names[-1]
    assert names[0] != names[1]


def test_a_file_that_cannot_be_read(checkpoint: Callable[..., Path]) -> None:
    for file in ("model.safetensors", "config.json"):
        directory = checkpoint(f"without-{file}")
        (directory / file).unlink()
        (directory / file).mkdir()
        with pytest.raises(CheckpointError, match=f"{file}: Is a directory"):
            fingerprint(directory)


def test_a_small_file_is_read_whole(checkpoint: Callable[..., Path]) -> None:
    one, other = (checkpoint(str(end), data=b"\0" * (SAMPLE_BYTES - 1) + bytes([end])) for end in (1, 2))
    assert fingerprint(one) != fingerprint(other)
