"""Who has no key, comes by a foreign name or from a foreign page, gets nothing but 401 and 403."""

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from itertools import product

import httpx
import pytest
import pytest_asyncio
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from engine.config import EngineConfig
from server.auth import OPEN, Keys
from server.config import ServerConfig
from tests.faults.aftermath import Aftermath
from tests.faults.raw_client import post, raw_client
from tests.faults.real_server import SETTINGS, RealServer, real_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = ("first-key-of-two", "second-key-of-two")
SITE = "https://pages.example"
COMPLETIONS = "/v1/completions"
BODY = {"prompt": "behind closed doors", "max_tokens": 2}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig) -> AsyncIterator[RealServer]:
    """Its `http` has the first key."""
    settings = replace(
        SETTINGS, keys=Keys.of(KEYS), allowed_hosts=("box.example",), allowed_origins=(SITE,), host="localhost"
    )
    async with real_server(tiny_model, settings) as server:
        server.http.headers["authorization"] = f"Bearer {KEYS[0]}"
        yield server


@pytest.fixture(autouse=True)
def secrets(aftermath: Aftermath) -> None:
    aftermath.secrets.extend([*KEYS, BODY["prompt"]])


@pytest_asyncio.fixture(loop_scope="module")
async def stranger(server: RealServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url) as http:
        yield http


def is_401(response: httpx.Response) -> bool:
    assert response.headers.get("www-authenticate", "Bearer") == "Bearer"
    return (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.fault(41)
async def test_every_route_but_the_open_ones_asks_for_a_key(server: RealServer, stranger: httpx.AsyncClient) -> None:
    asked = 0
    for context in iter_route_contexts(server.app.routes):
        route = context.route
        path = f"{route.path}/swagger-ui.css" if isinstance(route, Mount) else route.path
        for method in getattr(route, "methods", None) or ("GET",):
            response = await stranger.request(method, path.replace("{model_id:path}", "tiny"))
            if path == "/page/{file:path}":
                assert response.status_code == 401
            elif path in OPEN:
                assert response.status_code == 200
            elif method == "HEAD":
                assert response.status_code == 401
            else:
                assert is_401(response), (method, path)
                asked += 1
    assert asked >= 10
    for path in ("/openapi.json", "/docs", "/metrics", "/version", "/nothing", "/page/", "/page/__init__.py"):
        for method in ("GET", "POST", "OPTIONS", "DELETE"):
            assert is_401(await stranger.request(method, path))
            assert (await server.http.request(method, path)).status_code in (200, 404, 405)
    for key in KEYS:
        response = await stranger.post(COMPLETIONS, json=BODY, headers={"authorization": f"bearer {key}"})
        assert response.status_code == 200


DISGUISES = [
    ("/v1/models", "x/v1/models?"),
    ("/v1/models", "x/health?"),
    ("/v1/models", "localhost/health"),
    ("//v1/models", "localhost"),
    ("//health", "localhost"),
    ("/health//", "localhost"),
    ("/health/", "localhost"),
    ("/health;x", "localhost"),
    ("/health/../v1/models", "localhost"),
    ("/health/%2e%2e/v1/models", "localhost"),
    ("/%2e%2e/v1/models", "localhost"),
    ("/v1%2fmodels", "localhost"),
    ("/health%2f..%2fv1%2fmodels", "localhost"),
    ("/HEALTH", "localhost"),
    ("/v1/models?/health", "localhost"),
    ("/v1/models#/health", "localhost"),
    ("http://x/v1/models", "localhost"),
    ("http://x/health/../v1/models", "localhost"),
    ("/%00/health", "localhost"),
]


@pytest.mark.fault(42)
async def test_paths_that_look_like_others(server: RealServer) -> None:
    for method, (target, host) in product(("GET", "POST"), DISGUISES):
        async with raw_client(server.url) as client:
            await client.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
            status, error = await client.refusal()
        assert (status, error["code"]) == (401, "invalid_api_key"), (target, host)


WRONG_KEYS = [
    b"", b"Bearer", b"Bearer ", b"Bearer  ", b"Bearer \xc3\xa9", b"Bearer \xff\xfe", b"Bearer " + b"k" * 2**20,
    b"Bearer " + b"k" * 50_000, KEYS[0].encode(), b"Basic " + KEYS[0].encode(), b"Bearer " + KEYS[0][:-1].encode(),
    b"Bearer " + KEYS[0].encode() + b"x", b"Bearer " + KEYS[0].upper().encode(),
    b"Bearer " + b" ".join(key.encode() for key in KEYS),
    b"Bearer " + KEYS[0].encode() + b"\r\nAuthorization: Bearer wrong",
]  # fmt: skip


@pytest.mark.fault(43)
async def test_keys_that_are_none(server: RealServer) -> None:
    for header in WRONG_KEYS:
        head = post(COMPLETIONS, b"").removesuffix(b"\r\n") + b"Authorization: " + header + b"\r\n\r\n"
        async with raw_client(server.url) as client:
            with suppress(ConnectionError):  # Not all of a megabyte is read.
                await client.send(head)
            status, error = await client.refusal()
        assert (status, error["code"]) == (401, "invalid_api_key"), header[:40]


@pytest.mark.fault(43)
async def test_keys_are_compared_in_constant_time(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, object]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in (KEYS[0], "wrong"):
        del compared[:]
        await server.http.get("/v1/models", headers={"authorization": f"Bearer {key}"})
        assert len(compared) >= len(KEYS), "all keys, whichever is right"
        assert all(isinstance(value, bytes) and len(value) == 32 for pair in compared for value in pair)


@pytest.mark.fault(44)
async def test_foreign_names(server: RealServer) -> None:
    for host, status in {
        "evil.example": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "evil.example:8000": 403,
        "user@localhost": 403, "x/v1/models?": 403, "": 403, "[::1": 403,
        "localhost:8000": 200, "127.0.0.1": 200, "[::1]:80": 200, "192.0.2.7:8000": 200, "Box.Example": 200,
    }.items():  # fmt: skip
        assert (await server.http.get("/v1/models", headers={"host": host})).status_code == status, host
        assert (await server.http.get("/health", headers={"host": host})).status_code == 200


@pytest.mark.fault(44)
async def test_foreign_pages(server: RealServer, stranger: httpx.AsyncClient) -> None:
    own = server.url
    for origin in ("https://evil.example", "null", "", "http://localhost:1", f"{SITE}.evil.example", f"{own}0", "*"):
        for method in ("GET", "POST", "OPTIONS"):
            response = await server.http.request(method, "/v1/models", headers={"origin": origin})
            assert (response.status_code, response.json()["error"]["code"]) == (403, "origin_not_allowed"), origin
            assert "access-control-allow-origin" not in response.headers
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-any"}
    response = await stranger.options(COMPLETIONS, headers={"origin": "https://evil.example", **preflight})
    assert response.status_code == 403
    response = await stranger.options(COMPLETIONS, headers={"origin": SITE, **preflight})
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, SITE)
    for client, status in ((stranger, 401), (server.http, 200)):
        response = await client.post(COMPLETIONS, json=BODY, headers={"origin": SITE})
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, SITE)
    response = await server.http.post(COMPLETIONS, json=BODY, headers={"origin": own})
    assert response.status_code == 200
    assert "*" not in "".join(response.headers.get(name, "") for name in response.headers if "access" in name)


@pytest.mark.fault(44)
async def test_it_listens_to_this_machine_alone() -> None:
    assert ServerConfig(served_model_names=("tiny",)).host == "127.0.0.1"


@pytest.mark.fault(46)
async def test_a_secret_shows_nowhere(server: RealServer, aftermath: Aftermath) -> None:
    """Not in a log, a metric or an error: whatever is wrong with a request that has one."""
    secret = "xyzzy-plugh"
    aftermath.secrets.append(secret)
    chat = "/v1/chat/completions"
    messages = [{"role": "user", "content": secret}]
    wrong: list[tuple[str, object]] = [
        (COMPLETIONS, {"prompt": secret, "temperature": secret}),
        (COMPLETIONS, {"prompt": {secret: secret}}),
        (COMPLETIONS, {"prompt": secret * 1000}),
        (COMPLETIONS, {"prompt": [secret, 1]}),
        (COMPLETIONS, {"prompt": secret, "stop": [secret] * 20}),
        (COMPLETIONS, {"prompt": secret, "structured_outputs": {"regex": "("}}),
        (chat, {"messages": [{"role": secret, "content": secret}]}),
        (chat, {"messages": [{"role": "tool", "content": secret}]}),
        (chat, {"messages": messages, "reasoning_effort": secret}),
        (chat, {"messages": messages, "tools": [{"type": secret}]}),
        ("/tokenize", {"prompt": secret, "messages": messages}),
        ("/detokenize", {"tokens": [secret]}),
    ]
    for path, body in wrong:
        response = await server.http.post(path, json=body, headers={"x-secret": secret})
        assert response.status_code == 400
        assert secret not in response.text, body
    not_json = await server.http.post(COMPLETIONS, content=f'{{"prompt": {secret}', headers=JSON)
    assert (not_json.status_code, secret in not_json.text) == (400, False)
    for path, body in ((COMPLETIONS, {"prompt": secret}), (chat, {"messages": messages})):
        for stream in (False, True):
            asked = {**body, "max_tokens": 3, "stream": stream, "user": secret}
            assert (await server.http.post(path, json=asked)).status_code == 200
    assert (await server.http.get(f"/{secret}?{secret}", headers={"authorization": secret})).status_code == 401
    assert secret not in (await server.http.get("/metrics")).text


JSON = {"content-type": "application/json"}


@pytest.mark.fault(47)
async def test_an_url_in_a_request_is_not_fetched(server: RealServer) -> None:
    """Where a client may write one: it is refused, or is just text. This server itself would see the request."""
    url = f"{server.url}/health?fetched"
    before = server.log.getvalue().count("fetched")
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    schema = {"type": "object", "properties": {"a": {"$ref": url}}}
    for path, body in (
        ("/v1/chat/completions", {"messages": picture}),
        (COMPLETIONS, BODY | {"structured_outputs": {"json": schema}}),
        (COMPLETIONS, BODY | {"structured_outputs": {"json": {"$ref": url}}}),
        (COMPLETIONS, BODY | {"model": url}),
    ):
        response = await server.http.post(path, json=body)
        assert response.status_code in (400, 404), response.text
    requests = [json.loads(line) for line in server.log.getvalue().splitlines()]
    assert server.log.getvalue().count("fetched") == before
    assert all(line.get("endpoint") != "/health" for line in requests)
