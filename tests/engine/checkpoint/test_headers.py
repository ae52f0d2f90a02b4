"""Every way a safetensors file or an index can be wrong is one line that names file and tensor."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from engine.checkpoint.headers import (
    MAX_HEADER_BYTES,
    read_checkpoint_headers,
    read_headers,
    weights_directory,
)
from engine.errors import CheckpointError
from tests.engine.checkpoint.raw_safetensors import layout, write_file, write_sparse

THREE = (("a", "F32", (2, 3)), ("b", "BF16", (4,)), ("c", "U8", (5,)))


def message(file: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_headers(file)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{file}: ")
    return text.removeprefix(f"{file}: ")


def changed(name: str, **fields: Any) -> tuple[dict[str, Any], int]:
    header, size = layout(THREE)
    header[name] |= fields
    return header, size


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    tensors = {
        "half": torch.zeros(3, 5, dtype=torch.bfloat16),
        "bytes": torch.zeros(7, dtype=torch.uint8),
        "wide": torch.zeros(2, 2, 2),
        "scalar": torch.zeros(()),
        "empty": torch.zeros(0, 4),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    headers = {header.name: header for header in read_headers(tmp_path / "x.safetensors")}
    assert {name: (header.dtype, header.shape) for name, header in headers.items()} == {
        "half": ("BF16", (3, 5)),
        "bytes": ("U8", (7,)),
        "wide": ("F32", (2, 2, 2)),
        "scalar": ("F32", ()),
        "empty": ("F32", (0, 4)),
    }
    assert {name: header.nbytes for name, header in headers.items()} == {
        name: tensor.nbytes for name, tensor in tensors.items()
    }


class TestBrokenFile:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "model.safetensors"

    def test_missing(self, file: Path) -> None:
        assert message(file) == "no such file"

    def test_unreadable(self, file: Path) -> None:
        file.mkdir()
        assert message(file) == "Is a directory"

    @pytest.mark.parametrize("content", [b"", b"1234567"])
    def test_too_short_for_a_length(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        assert message(file).startswith("truncated: ")

    def test_header_beyond_the_end(self, file: Path) -> None:
        file.write_bytes((100).to_bytes(8, "little") + b"{}")
        assert message(file) == "truncated: header of 100 bytes in a file of 10"

    def test_huge_header_is_not_read(self, file: Path) -> None:
        with file.open("wb") as stream:
            stream.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
            stream.truncate(2 * MAX_HEADER_BYTES)
        assert message(file) == "header of 100000001 bytes, over the limit of 100000000"

    @pytest.mark.parametrize("text", [b"\x00\xff garbage", b"{", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}"])
    def test_header_is_not_json(self, file: Path, text: bytes) -> None:
        write_file(file, text, 0)
        assert message(file).startswith("header is not JSON: ")

    @pytest.mark.parametrize("header", [[], 7, "a", None])
    def test_header_is_no_object(self, file: Path, header: object) -> None:
        write_file(file, header, 0)
        assert message(file) == "header is not a JSON object"

    def test_name_twice(self, file: Path) -> None:
        entry = json.dumps({"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}).encode()
        write_file(file, b'{"a": ' + entry + b', "a": ' + entry + b"}", 1)
        assert message(file) == "a: twice in the header"

    def test_names_that_do_more_than_name(self, file: Path, tmp_path: Path) -> None:
        write_file(file, {"a\n\x1b[2J": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, 1)
        assert message(file) == r"'a\n\x1b[2J': not the name of a tensor"
        write_file(file, b'{"a\\u001b": 1, "a\\u001b": 1}', 0)
        assert message(file) == r"'a\x1b': not the name of a tensor"
        index = tmp_path / "model.safetensors.index.json"
        for weight_map in ({"a\x1b": "one"}, {"a": "one\x1b"}):
            index.write_text(json.dumps({"weight_map": weight_map}))
            with pytest.raises(CheckpointError, match=r"\\x1b'.* not the name of a") as caught:
                read_checkpoint_headers(tmp_path)
            assert str(caught.value).isprintable()

    @pytest.mark.parametrize("entry", [1, [], None, {"shape": [1], "data_offsets": [0, 1]}])
    def test_entry_without_dtype(self, file: Path, entry: object) -> None:
        write_file(file, {"a": entry}, 1)
        assert message(file) == "a: unknown dtype None"

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"dtype": "F7"}, "b: unknown dtype 'F7'"),
            ({"dtype": ["BF16"]}, "b: unknown dtype ['BF16']"),
            ({"shape": [10**4000, 10**4000]}, f"b: shape [1{'0' * 78} is not a list of sizes"),
            ({"shape": [1] * 65}, f"b: shape [{'1, ' * 26}1 is not a list of sizes"),
            ({"data_offsets": [0, 2**63]}, "b: data_offsets [0, 9223372036854775808] are not a start and a stop"),
            ({"shape": "4"}, "b: shape '4' is not a list of sizes"),
            ({"shape": [-4]}, "b: shape [-4] is not a list of sizes"),
            ({"shape": [4.0]}, "b: shape [4.0] is not a list of sizes"),
            ({"shape": [True, 4]}, "b: shape [True, 4] is not a list of sizes"),
            ({"data_offsets": [24]}, "b: data_offsets [24] are not a start and a stop"),
            ({"data_offsets": None}, "b: data_offsets None are not a start and a stop"),
            ({"data_offsets": [-1, 7]}, "b: data_offsets [-1, 7] are not a start and a stop"),
            ({"data_offsets": [32, 24]}, "b: BF16 [4] is 8 bytes, but data_offsets [32, 24] span -8"),
            ({"data_offsets": [24, 31]}, "b: BF16 [4] is 8 bytes, but data_offsets [24, 31] span 7"),
            ({"shape": [5]}, "b: BF16 [5] is 10 bytes, but data_offsets [24, 32] span 8"),
            ({"data_offsets": [20, 28]}, "b: overlaps a … and 1 more"),
            ({"data_offsets": [0, 8]}, "a: overlaps b … and 1 more"),
            ({"data_offsets": [900, 908]}, "c: 8 bytes before it belong to no tensor … and 1 more"),
        ],
    )
    def test_entry_that_cannot_be(self, file: Path, fields: dict[str, Any], expected: str) -> None:
        write_file(file, *changed("b", **fields))
        assert message(file) == expected

    def test_truncated_data_names_the_first_tensor_that_suffers(self, file: Path) -> None:
        write_sparse(file, THREE)
        size = file.stat().st_size
        for cut, first in ((1, "c: truncated: ends at byte "), (6, "b: truncated: ")):
            with file.open("r+b") as stream:
                stream.truncate(size - cut)
            assert message(file).startswith(first)
        assert message(file).endswith(" … and 1 more")

    def test_bytes_at_the_end(self, file: Path) -> None:
        header, size = layout(THREE)
        write_file(file, header, size + 3)
        assert message(file) == "3 bytes after c belong to no tensor"

    @given(data=st.binary(max_size=200))
    def test_any_bytes_are_read_or_refused(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        file = tmp_path_factory.getbasetemp() / "any.safetensors"
        file.write_bytes(len(data).to_bytes(8, "little") + data)
        try:
            headers = read_headers(file)
        except CheckpointError:
            return
        assert all(header.offset + header.nbytes <= 8 + len(data) for header in headers)


class TestFiles:
    def test_no_files(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"no \*\.safetensors files$"):
            read_checkpoint_headers(tmp_path)

    def test_numbered_files_without_an_index(self, tmp_path: Path) -> None:
        for number, entry in enumerate(THREE):
            write_sparse(tmp_path / f"model-{number}.safetensors", [entry])
        assert set(read_checkpoint_headers(tmp_path)) == {"a", "b", "c"}

    def test_one_file_beside_others(self, tmp_path: Path) -> None:
        write_sparse(tmp_path / "model.safetensors", THREE)
        write_sparse(tmp_path / "adapter.safetensors", [("x", "U8", (1,))])
        assert set(read_checkpoint_headers(tmp_path)) == {"a", "b", "c"}

    def test_original_is_used_only_without_weights_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "original").mkdir()
        write_sparse(tmp_path / "original" / "model.safetensors", [("x", "U8", (1,))])
        assert weights_directory(tmp_path) == tmp_path / "original"
        assert set(read_checkpoint_headers(tmp_path)) == {"x"}
        write_sparse(tmp_path / "model.safetensors", THREE)
        assert weights_directory(tmp_path) == tmp_path
        assert set(read_checkpoint_headers(tmp_path)) == {"a", "b", "c"}

    def test_a_tensor_in_two_files(self, tmp_path: Path) -> None:
        write_sparse(tmp_path / "model-1.safetensors", THREE)
        write_sparse(tmp_path / "model-2.safetensors", THREE[1:])
        with pytest.raises(CheckpointError, match=r"model-2\.safetensors: b: is also in model-1.* … and 1 more$"):
            read_checkpoint_headers(tmp_path)


class TestIndex:
    @pytest.fixture
    def write(self, tmp_path: Path) -> Any:
        def write(weight_map: object) -> Path:
            write_sparse(tmp_path / "one.safetensors", THREE[:2])
            write_sparse(tmp_path / "two.safetensors", THREE[2:])
            (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
            return tmp_path

        return write

    def message(self, directory: Path) -> str:
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint_headers(directory)
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(f"{directory}/")

    def test_names_the_files(self, write: Any) -> None:
        directory = write({"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"})
        write_sparse(directory / "unrelated.safetensors", [("x", "U8", (1,))])
        tensors = read_checkpoint_headers(directory)
        assert {name: header.file.name for name, header in tensors.items()} == {
            "a": "one.safetensors",
            "b": "one.safetensors",
            "c": "two.safetensors",
        }

    def test_is_of_an_earlier_save(self, write: Any) -> None:
        """As transformers takes it: saved anew as one file, a directory keeps the index of its shards."""
        directory = write({"a": "one.safetensors", "b": "one.safetensors", "c": "gone.safetensors"})
        write_sparse(directory / "model.safetensors", THREE)
        assert {header.file.name for header in read_checkpoint_headers(directory).values()} == {"model.safetensors"}

    def test_names_a_file_that_is_missing(self, write: Any) -> None:
        directory = write({"a": "one.safetensors", "c": "three.safetensors"})
        assert self.message(directory) == "three.safetensors: no such file"

    def test_names_a_tensor_that_its_file_lacks(self, write: Any) -> None:
        directory = write({"a": "two.safetensors", "b": "one.safetensors", "c": "two.safetensors"})
        assert self.message(directory).startswith("two.safetensors: a: missing, but model.safetensors.index")

    def test_leaves_out_a_tensor(self, write: Any) -> None:
        directory = write({"a": "one.safetensors", "c": "two.safetensors"})
        assert self.message(directory) == "one.safetensors: b: not in model.safetensors.index.json"

    @pytest.mark.parametrize("file", ["../one.safetensors", "/etc/passwd", "", ".", 1])
    def test_points_elsewhere(self, write: Any, file: object) -> None:
        assert "is not the name of a file beside the index" in self.message(write({"a": file}))

    @pytest.mark.parametrize("weight_map", [None, [], "a"])
    def test_is_no_map(self, write: Any, weight_map: object) -> None:
        assert "weight_map" in self.message(write(weight_map))

    def test_is_garbage(self, write: Any) -> None:
        directory = write({})
        (directory / "model.safetensors.index.json").write_bytes(b"\xff\x00")
        assert "model.safetensors.index.json: not JSON: " in self.message(directory)
