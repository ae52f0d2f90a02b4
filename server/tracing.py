"""A span for each request, for OpenTelemetry, an extra: `pip install 'carousel-llm[otel]'`.

A span follows OpenTelemetry's conventions for HTTP and for generative AI, and has an event for each stage of a request:
`queued`, `prefill`, `decode`. It never contains a prompt, an answer or a key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

import engine
from engine.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """A request that has ended; times are in nanoseconds since the Unix epoch.

    `moments` are the starts of its stages. `headers` may name the span of a client or a proxy as the parent.
    """

    name: str
    began: int
    ended: int
    moments: Mapping[str, int]
    attributes: Mapping[str, str | int | Sequence[str] | None]
    failed: bool
    headers: Mapping[str, str]


def check_propagators() -> None:
    """Before FastAPI is imported, which imports what OTEL_PROPAGATORS names, traces or not. Raises ConfigError."""
    try:
        import_module("opentelemetry.propagate")
    except ImportError:
        return
    except ValueError as error:
        raise ConfigError(f"OTEL_PROPAGATORS: {error}") from error


class Tracing:
    """Records spans."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("carousel", engine.__version__)

    @classmethod
    def to(cls, endpoint: str) -> Self:
        """Sends spans in batches to a collector's endpoint, like http://127.0.0.1:4318/v1/traces (OTLP over HTTP).

        Raises ConfigError if OpenTelemetry is not installed, if `endpoint` is not a URL, and for variables of
        OpenTelemetry's that it cannot follow.
        """
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"--otlp-traces-endpoint must be like http://127.0.0.1:4318/v1/traces, got {endpoint!r}")
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            resource = Resource.create({"service.name": "carousel"})
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
        except ImportError as error:
            raise ConfigError("--otlp-traces-endpoint needs OpenTelemetry: pip install 'carousel-llm[otel]'") from error
        except ValueError as error:
            raise ConfigError(f"OpenTelemetry cannot be set up by its variables (OTEL_…): {error}") from error
        return cls(provider)

    def record(self, trace: RequestTrace) -> None:
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, StatusCode

        known: dict[str, Any] = {name: value for name, value in trace.attributes.items() if value is not None}
        span = self._tracer.start_span(
            trace.name, extract(trace.headers), SpanKind.SERVER, attributes=known, start_time=trace.began
        )
        for name, at in trace.moments.items():
            span.add_event(name, timestamp=at)
        if trace.failed:
            span.set_status(StatusCode.ERROR)
        span.end(trace.ended)

    def close(self) -> None:
        """Sends the remaining spans, if the collector accepts them within CLOSE_SECONDS."""
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(CLOSE_SECONDS)
