"""A checkpoint whose chat template does its worst: it hurts nothing but its own chats."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from engine.config import EngineConfig
from engine.prompt import template
from tests.faults.aftermath import Aftermath
from tests.faults.real_server import RealServer, real_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORST = {
    "code": "{{ ().__class__.__base__.__subclasses__() }}",
    "module": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "change": "{{ messages.append(1) }}",
    "loop": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "text": '{% set ns = namespace(s="aa") %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}',
    "output": '{% for i in range(99999) %}{{ "a" * 1000000 }}{% endfor %}',
    "file": "{% include '/etc/passwd' %}",
}
SOURCE = "{% set what = messages[0].content %}" + "".join(
    f"{{% if what == '{name}' %}}{body}{{% endif %}}" for name, body in WORST.items()
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealServer]:
    directory = tmp_path_factory.mktemp("hostile") / "model"
    shutil.copytree(tiny_model.model, directory)
    (directory / "chat_template.jinja").write_text(SOURCE + "{{ what }}")
    async with real_server(replace(tiny_model, model=directory)) as server:
        yield server


@pytest.mark.fault(45)
async def test_a_template_s_worst(server: RealServer, aftermath: Aftermath, monkeypatch: pytest.MonkeyPatch) -> None:
    assert template.MAX_SECONDS <= 10
    monkeypatch.setattr(template, "MAX_SECONDS", 1.0)

    async def ask(content: str) -> int:
        messages = [{"role": "user", "content": content}]
        response = await server.http.post("/v1/chat/completions", json={"messages": messages, "max_tokens": 2})
        assert response.status_code == 200 or response.json()["error"]["param"] == "messages", response.text
        assert "root:" not in response.text
        return response.status_code

    async with asyncio.timeout(60):
        assert await asyncio.gather(*map(ask, WORST)) == [400] * len(WORST)
        assert await ask("kind") == 200
