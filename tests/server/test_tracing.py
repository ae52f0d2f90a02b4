"""A span for each request: its names, its moments, and that it goes where it is sent."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typer.testing import CliRunner

from engine.errors import ConfigError
from server import tracing as tracing_module
from server.app import create_app
from server.cli import app as program
from server.text import Text
from server.tracing import RequestTrace, Tracing
from tests.server.conftest import SETTINGS
from tests.server.scripted_engine import Script, ScriptedEngine

SECRET = "xyzzy-plugh"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def app(engine: ScriptedEngine, text: Text, spans: InMemorySpanExporter) -> FastAPI:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return create_app(engine, text, SETTINGS, tracing=Tracing(provider))


async def span(http: httpx.AsyncClient, spans: InMemorySpanExporter, path: str, **request: object) -> ReadableSpan:
    """The span of a request."""
    spans.clear()
    await http.post(path, **request)
    (found,) = spans.get_finished_spans()
    return found


async def test_a_chat(http: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": SECRET}]}
    headers = {"x-request-id": "mine", "authorization": f"Bearer {SECRET}", "traceparent": PARENT}
    found = await span(http, spans, "/v1/chat/completions", json=body, headers=headers)
    assert found.name == "POST /v1/chat/completions"
    assert found.attributes is not None
    expected = {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "carousel.request_id": "mine",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "tiny",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.output_tokens": 6,
    }
    assert {name: found.attributes[name] for name in expected} == expected
    assert found.parent is not None
    assert f"{found.parent.trace_id:032x}" in PARENT
    assert found.status.is_unset
    assert SECRET not in found.to_json()


async def test_moments_are_in_order(
    http: httpx.AsyncClient, spans: InMemorySpanExporter, engine: ScriptedEngine
) -> None:
    engine.queue_seconds = 1e-6
    found = await span(http, spans, "/v1/completions", json={"prompt": "a", "stream": True})
    assert [event.name for event in found.events] == ["queued", "prefill", "decode"]
    times = [found.start_time, *(event.timestamp for event in found.events), found.end_time]
    assert times == sorted(times)


async def test_what_failed(
    http: httpx.AsyncClient, spans: InMemorySpanExporter, engine: ScriptedEngine, say: Callable[..., Script]
) -> None:
    refused = await span(http, spans, "/v1/completions", json={"prompt": "a", "temperature": -1})
    assert (refused.attributes["http.response.status_code"], refused.events) == (400, ())
    engine.play = lambda request: Script([], error="it broke")
    broken = await span(http, spans, "/v1/completions", json={"prompt": "a"})
    assert not broken.status.is_ok
    assert broken.attributes["error.type"]


async def test_probes_leave_no_trace(http: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    for path in ("/health", "/ping", "/ready", "/metrics"):
        await http.get(path)
    assert spans.get_finished_spans() == ()


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    """A collector that keeps what it is sent in `bodies`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.bodies = []
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector(collector: HTTPServer) -> None:
    tracing = Tracing.to(f"http://127.0.0.1:{collector.server_port}/v1/traces")
    tracing.record(RequestTrace("GET /version", 1, 2, {}, {"http.route": "/version", "error.type": None}, False, {}))
    tracing.close()
    (body,) = collector.bodies
    sent = ExportTraceServiceRequest.FromString(body).resource_spans[0]
    assert sent.scope_spans[0].spans[0].name == "GET /version"
    assert [attribute.key for attribute in sent.scope_spans[0].spans[0].attributes] == ["http.route"]
    assert any(attribute.value.string_value == "carousel" for attribute in sent.resource.attributes)


def test_a_collector_that_takes_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, closed = Event(), Event()

    class Slow:
        def get_tracer(self, *names: str) -> None: ...

        def shutdown(self) -> None:
            taken.wait(30)
            closed.set()

    monkeypatch.setattr(tracing_module, "CLOSE_SECONDS", 0.01)
    Tracing(Slow()).close()
    assert not closed.is_set()
    taken.set()
    assert closed.wait(30)


def test_what_cannot_be_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(program, ["serve", "--otlp-traces-endpoint", "127.0.0.1:4318"])
    assert result.exit_code == 1
    assert "must be like http://127.0.0.1:4318/v1/traces" in result.stderr
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"pip install 'carousel-llm\[otel\]'"):
        Tracing.to("http://127.0.0.1:4318/v1/traces")


@pytest.mark.parametrize("traces", [[], ["--otlp-traces-endpoint", "http://127.0.0.1:4318/v1/traces"]])
def test_propagators_that_there_are_not(traces: list[str]) -> None:
    command = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--port", "-1", *traces]
    environment = {**os.environ, "OTEL_PROPAGATORS": "nosuch"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("carousel: OTEL_PROPAGATORS: Propagator nosuch not found")
    assert done.stderr.count("\n") == 1


def test_variables_that_opentelemetry_cannot_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    with pytest.raises(ConfigError, match=r"its variables \(OTEL_…\): max_queue_size must be"):
        Tracing.to("http://127.0.0.1:4318/v1/traces")
