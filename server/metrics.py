"""Metrics for Prometheus, named after https://prometheus.io/docs/practices/naming/."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from engine.streams import EngineClient, EngineStats

FIRST_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
BETWEEN_TOKENS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)
DURATION_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
STEP_TOKENS = tuple(float(2**power) for power in range(15))


class Metrics:
    """The metrics of one server, in their own registry; those of the engine are read from `engine`."""

    def __init__(self, engine: EngineClient) -> None:
        self.registry = CollectorRegistry()

        self.requests = self._counter(
            "http_requests",
            "HTTP requests answered. A client that disconnects before the answer counts as a 499.",
            "endpoint",
            "status",
        )
        self.errors = self._counter("errors", "Requests that ended with an error, by the error's code.", "kind")
        self.choices = self._counter(
            "choices",
            "Answers ended, each of a request's n: by stop, length, tool_calls, abort (the client left) or error.",
            "endpoint",
            "finish_reason",
        )
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts.", "endpoint")
        self.cached_prompt_tokens = self._counter(
            "cached_prompt_tokens", "Tokens of prompts that were read from the cache.", "endpoint"
        )
        self.completion_tokens = self._counter(
            "completion_tokens", "Tokens of answers as they are generated, reasoning included.", "endpoint"
        )
        self.harmony_recoveries = self._counter(
            "harmony_recoveries", "Places in answers where the model left the harmony format and the reader recovered."
        )
        self.queue_seconds = self._histogram(
            "queue_seconds",
            "From a request's arrival in the engine to its first step.",
            FIRST_TOKEN_SECONDS,
            "endpoint",
        )
        self.first_token_seconds = self._histogram(
            "time_to_first_token_seconds",
            "From a request's arrival to the first token of its first answer.",
            FIRST_TOKEN_SECONDS,
            "endpoint",
        )
        self.inter_token_seconds = self._histogram(
            "inter_token_latency_seconds",
            "Between one token of an answer and the next.",
            BETWEEN_TOKENS_SECONDS,
            "endpoint",
        )
        self.request_seconds = self._histogram(
            "request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            DURATION_SECONDS,
            "endpoint",
        )

        self._step_seconds = self._histogram("step_duration_seconds", "Duration of the engine's steps.", STEP_SECONDS)
        self._step_tokens = self._histogram("step_tokens", "Tokens per step, of prompts and answers.", STEP_TOKENS)
        self._preemptions = self._counter("preemptions", "Requests preempted, to be recomputed later.")
        self._restarts = self._counter("engine_restarts", "Restarts of the engine after it ended.")
        engine.on_step(self._note_step)
        engine.on_restart(self._restarts.inc)

        self._gauge("requests_running", "Requests in the engine's batch.", lambda: engine.stats.running)
        self._gauge("requests_waiting", "Requests waiting for a place in the batch.", lambda: engine.stats.waiting)
        self._gauge("cache_pages_held", "Cache pages that hold tokens of requests.", lambda: engine.stats.pages_held)
        self._gauge("cache_pages_kept", "Cache pages kept for later prompts.", lambda: engine.stats.pages_kept)
        self._gauge("cache_pages_limit", "All cache pages.", lambda: engine.stats.pages_total)
        self._gauge(
            "ring_slots_held",
            "Places in the batch, each with its rings, in use.",
            lambda: engine.stats.slots_held,
        )
        self._gauge("ring_slots_limit", "All places in the batch.", lambda: engine.stats.slots_total)
        self._gauge("engine_ready", "1 while the engine accepts requests.", lambda: engine.status.phase == "ready")

    def _note_step(self, stats: EngineStats) -> None:
        if stats.step_tokens:
            self._step_seconds.observe(stats.step_seconds)
            self._step_tokens.observe(stats.step_tokens)
        self._preemptions.inc(stats.preemptions)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, namespace="carousel", registry=self.registry)

    def _histogram(self, name: str, description: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, description, labels, namespace="carousel", buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        Gauge(name, description, namespace="carousel", registry=self.registry).set_function(value)
