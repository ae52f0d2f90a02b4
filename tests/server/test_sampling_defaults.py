"""What a checkpoint's generation_config.json says holds where a request says nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

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
