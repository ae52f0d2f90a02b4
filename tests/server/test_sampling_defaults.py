"""What a checkpoint's generation_config.json says holds where a request says nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from engine.errors import CheckpointError, ConfigError
from engine.sampling_defaults import read_sampling_defaults
from server.app import create_app
from server.text import Text
from tests.server.byte_text import byte_text
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine

DEFAULTS = {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
PATHS = {
    "/v1/completions": {"prompt": "hi"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
}


@pytest.fixture(scope="module")
def careful_text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    directory: Path = tmp_path_factory.mktemp("careful")
    (directory / "generation_config.json").write_text(json.dumps(DEFAULTS))
    return byte_text(directory)


@pytest.mark.parametrize("path", PATHS)
async def test_the_request_then_the_checkpoint_then_openai(
    path: str, careful_text: Text, say: Callable[..., Script]
) -> None:
    engine = ScriptedEngine(lambda request: say("Hello!"), vocab_size=careful_text.tokenizer.vocab_size)
    transport = httpx.ASGITransport(create_app(engine, careful_text, SETTINGS), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        response = await http.post(path, json={**PATHS[path], "temperature": 0.0, "top_k": -1, "top_p": None})
    assert response.status_code == 200, response.text
    sampling = engine.submitted[-1].sampling
    assert (sampling.temperature, sampling.top_k) == (0.0, 0)
    assert (sampling.top_p, sampling.min_p) == (0.95, 0.0)


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
