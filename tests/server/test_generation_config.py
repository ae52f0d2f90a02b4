from pathlib import Path

import pytest

from engine.errors import CheckpointError, ConfigError
from server.sampling_defaults import read_sampling_defaults


def write(directory: Path, content: str) -> Path:
    (directory / "generation_config.json").write_text(content)
    return directory


def test_what_it_says_of_sampling(tmp_path: Path) -> None:
    content = (
        '{"do_sample": true, "eos_token_id": [1], "temperature": 0.6, "top_k": 20, "top_p": 1, "min_p": null,'
        ' "repetition_penalty": 1.05}'
    )
    assert read_sampling_defaults(write(tmp_path, content)) == {
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 1.0,
        "repetition_penalty": 1.05,
    }


def test_a_checkpoint_may_say_nothing(tmp_path: Path) -> None:
    assert read_sampling_defaults(tmp_path) == {}
    assert read_sampling_defaults(write(tmp_path, '{"eos_token_id": 3}')) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"top_p": 1.5}', "generation_config.json: top_p must be in (0.0, 1.0], got 1.5"),
        ('{"temperature": "hot"}', 'generation_config.json: temperature must be a number, got "hot"'),
        ('{"top_k": 1.5}', "generation_config.json: top_k must be an integer, got 1.5"),
    ],
)
def test_a_value_that_no_request_could_have(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_sampling_defaults(write(tmp_path, content))
    assert message in str(caught.value)


def test_no_json(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not JSON"):
        read_sampling_defaults(write(tmp_path, "{"))
