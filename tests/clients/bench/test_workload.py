import json
from itertools import islice
from pathlib import Path

import pytest

from clients.bench.workload import from_file, synthetic
from clients.errors import UsageError

SIZES = {"input_len": 40, "output_len": 8, "vocab_size": 100, "model": "tiny"}


def turns(*pairs: tuple[str, str]) -> dict[str, object]:
    return {"id": "x", "conversations": [{"from": speaker, "value": value} for speaker, value in pairs]}


def test_synthetic_lengths_are_exact() -> None:
    first, second = islice(synthetic(**SIZES, ignore_eos=True, seed=1), 2)
    assert len(first.token_ids) == 40
    assert set(first.token_ids) <= set(range(10, 100))
    assert first.token_ids != second.token_ids
    assert first.options == {"model": "tiny", "max_tokens": 8, "temperature": 0.0, "ignore_eos": True}
    (plain,) = islice(synthetic(**SIZES, ignore_eos=False, seed=1), 1)
    assert plain.token_ids == first.token_ids
    assert "ignore_eos" not in plain.options, "OpenAI does not know it"


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "share.json"
    path.write_text(
        json.dumps([turns(("human", "a"), ("gpt", "b")), turns(("gpt", "c")), turns(), turns(("user", "d"))])
    )
    asked = [chat.messages[0]["content"] for chat in islice(from_file(path, output_len=8, model="tiny", seed=0), 4)]
    assert sorted(asked[:2]) == ["a", "d"]
    assert asked[2:] == asked[:2]


@pytest.mark.parametrize("content", ["{", "[]", "[1]", '[{"conversations": [{}]}]', "[{}]", "3"])
def test_a_file_of_another_form(tmp_path: Path, content: str) -> None:
    path = tmp_path / "share.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"share\.json"):
        from_file(path, output_len=8, model="tiny", seed=0)
    with pytest.raises(UsageError, match="cannot read"):
        from_file(tmp_path / "none", output_len=8, model="tiny", seed=0)
