"""What ends a turn, where the configs do not say all of it."""

import json
from pathlib import Path

import pytest

from engine.checkpoint.hub import EMBEDDED
from engine.checkpoint.turn_ends import read_turn_ends
from engine.config import EngineConfig
from engine.errors import CheckpointError
from engine.start import start_engine


def without_stops(directory: Path, **kept: object) -> Path:
    """The embedded model without a generation_config.json, and with `kept` in its config.json."""
    directory.mkdir(exist_ok=True)
    for path in EMBEDDED.iterdir():
        if path.name not in ("config.json", "generation_config.json"):
            (directory / path.name).symlink_to(path)
    config = json.loads((EMBEDDED / "config.json").read_text())
    del config["eos_token_id"]
    (directory / "config.json").write_text(json.dumps(config | kept))
    return directory


def stops(model: Path) -> tuple[int, ...]:
    started = start_engine(EngineConfig(model=model, device="cpu", max_model_len=256))
    return started.engine.runner.model.config.eos_token_ids


def test_every_end_of_a_turn_stops_whatever_the_configs_say(tmp_path: Path) -> None:
    ends = read_turn_ends(EMBEDDED)
    assert len(ends) == 3
    assert set(stops(without_stops(tmp_path))) == set(ends)
    _, second, _ = ends
    assert stops(without_stops(tmp_path / "again", eos_token_id=second))[0] == second


def test_a_vocabulary_without_them_or_none_at_all(tmp_path: Path) -> None:
    assert read_turn_ends(tmp_path) == ()
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE"}}')
    assert read_turn_ends(tmp_path) == ()
    (tmp_path / "tokenizer.json").write_text('{"added_tokens": 3}')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: Expected `array`"):
        read_turn_ends(tmp_path)
