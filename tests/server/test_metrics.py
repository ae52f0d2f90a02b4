"""What /metrics says of requests, seen through requests."""

import asyncio
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from engine.prompt.harmony_stream import HarmonyStream
from engine.streams import EngineStats, EngineStatus
from server.text import Text
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]


async def scrape(http: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels; those of histograms without their buckets."""
    text = (await http.get("/metrics")).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


async def test_requests_tokens_and_latencies(http: httpx.AsyncClient) -> None:
    await http.post(COMPLETIONS, json={"prompt": ["hi", "you"], "n": 2})
    streamed = await http.post(COMPLETIONS, json={"prompt": "hi", "stream": True, "stop": "lo"})
    assert streamed.text.endswith("data: [DONE]\n\n")
    samples = await scrape(http)
    assert samples["carousel_http_requests_total", COMPLETIONS, "200"] == 2
    assert samples["carousel_choices_total", COMPLETIONS, "stop"] == 5
    assert samples["carousel_prompt_tokens_total", COMPLETIONS] == 5 + 2
    tokens = samples["carousel_completion_tokens_total", COMPLETIONS]
    assert 4 * 6 + 5 <= tokens <= 5 * 6, "the engine may be ahead when the stop string is found"
    assert samples["carousel_time_to_first_token_seconds_count", COMPLETIONS] == 2
    assert samples["carousel_request_duration_seconds_count", COMPLETIONS] == 2
    gaps = samples["carousel_inter_token_latency_seconds_count", COMPLETIONS]
    assert gaps == tokens - 5
    waited = samples["carousel_time_to_first_token_seconds_sum", COMPLETIONS]
    assert 0 < waited < samples["carousel_request_duration_seconds_sum", COMPLETIONS]


async def test_tokens_are_counted_as_they_come(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("Hello", hangs=True)
    body = {"prompt": "hi", "stream": True}
    async with httpx.AsyncClient(base_url=url) as http, http.stream("POST", COMPLETIONS, json=body):
        async with asyncio.timeout(30):
            while (await scrape(http)).get(("carousel_completion_tokens_total", COMPLETIONS)) != 5:
                await asyncio.sleep(0.01)


async def test_tokens_of_one_step_share_its_time(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("Hello!", per_step=3)
    engine.gate = lambda: asyncio.ensure_future(asyncio.sleep(0.03))
    await http.post(COMPLETIONS, json={"prompt": "hi"})
    samples = await scrape(http)
    assert samples["carousel_inter_token_latency_seconds_count", COMPLETIONS] == 1
    assert samples["carousel_inter_token_latency_seconds_sum", COMPLETIONS] >= 0.03 / 3
    assert samples["carousel_time_to_first_token_seconds_sum", COMPLETIONS] >= 0.03


async def test_harmony_recoveries(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, text: Text) -> None:
    answer = "no markup at all, and so long that it cannot be the header of a message, surely"
    alone = HarmonyStream(text.tokenizer)
    for token in text.tokenizer.encode(answer):
        alone.feed(token)
    alone.flush()
    assert alone.recoveries
    engine.play = lambda request: say(answer)
    await http.post(CHAT, json={"messages": HI, "n": 2})
    assert (await scrape(http))["carousel_harmony_recoveries_total",] == 2 * alone.recoveries


async def test_errors_by_kind(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    await http.post(COMPLETIONS, json={"prompt": "hi", "temperature": 9})
    await http.post(COMPLETIONS, json={"prompt": "hi", "model": "other"})
    await http.post(COMPLETIONS, json={"prompt": "hi" * 4000})
    for path in ("/v1/nothing", "/admin.php"):
        await http.get(path)
    engine.room = 0
    await http.post(COMPLETIONS, json={"prompt": "hi"})
    engine.room = 9
    engine.play = lambda request: say("ab", error="the forward pass failed")
    await http.post(COMPLETIONS, json={"prompt": "hi"})
    await http.post(COMPLETIONS, json={"prompt": "hi", "stream": True})
    engine.phase = EngineStatus("dead")
    await http.post(COMPLETIONS, json={"prompt": "hi"})
    samples = await scrape(http)
    kinds = {key[1]: value for key, value in samples.items() if key[0] == "carousel_errors_total"}
    assert kinds == {
        "invalid_request_error": 1, "model_not_found": 1, "context_length_exceeded": 1, "unknown_url": 2,
        "queue_full": 1, "generation_failed": 2, "engine_not_ready": 1,
    }  # fmt: skip
    assert samples["carousel_choices_total", COMPLETIONS, "error"] == 2
    assert samples["carousel_http_requests_total", COMPLETIONS, "500"] == 1
    assert samples["carousel_http_requests_total", "unknown", "404"] == 2
    assert samples["carousel_engine_ready",] == 0


async def test_unforeseen_errors(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    def fail(requests: object) -> None:
        raise ZeroDivisionError

    engine.submit = fail
    await http.post(COMPLETIONS, json={"prompt": "hi"})
    samples = await scrape(http)
    assert samples["carousel_errors_total", "internal_error"] == 1
    assert samples["carousel_http_requests_total", COMPLETIONS, "500"] == 1


async def test_a_client_that_leaves(
    url: str, engine: ScriptedEngine, say: Say, eventually: Callable[..., object]
) -> None:
    engine.play = lambda request: say("Hello", hangs=True)
    async with httpx.AsyncClient(base_url=url) as http:
        async with http.stream("POST", COMPLETIONS, json={"prompt": "hi", "n": 2, "stream": True}) as response:
            async for _ in response.aiter_lines():
                break
        await eventually(lambda: len(engine.aborted) == 2)
        leaving = asyncio.create_task(http.post(COMPLETIONS, json={"prompt": "hi"}))
        await eventually(lambda: engine.running == 1)
        leaving.cancel()
        await eventually(lambda: len(engine.aborted) == 3)
        async with asyncio.timeout(30):
            while ("carousel_http_requests_total", COMPLETIONS, "499") not in (samples := await scrape(http)):
                await asyncio.sleep(0.01)
        assert samples["carousel_choices_total", COMPLETIONS, "abort"] == 3
        assert samples["carousel_http_requests_total", COMPLETIONS, "200"] == 1
        assert samples["carousel_http_requests_total", COMPLETIONS, "499"] == 1
        assert not [key for key in samples if key[0] == "carousel_errors_total"]


async def test_the_engine(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    busy = EngineStats(
        running=3, waiting=2, pages_held=7, pages_kept=2, pages_total=10, slots_held=3, slots_total=4,
        preemptions=2, step_seconds=0.25, step_tokens=100,
    )  # fmt: skip
    idle = EngineStats(pages_total=10, slots_total=4)
    for stats in (busy, busy, idle):
        engine.stepped(stats)
    samples = await scrape(http)
    assert samples["carousel_step_duration_seconds_count",] == 2
    assert samples["carousel_step_duration_seconds_sum",] == 0.5
    assert samples["carousel_step_tokens_sum",] == 200
    assert samples["carousel_preemptions_total",] == 4
    assert samples["carousel_requests_running",] == 0
    assert samples["carousel_cache_pages_limit",] == 10
    engine.stepped(busy)
    engine.restarted()
    samples = await scrape(http)
    assert samples["carousel_engine_restarts_total",] == 1
    assert [samples[f"carousel_{name}",] for name in ("requests_running", "requests_waiting")] == [3, 2]
    assert [samples[f"carousel_cache_pages_{name}",] for name in ("held", "kept")] == [7, 2]
    assert samples["carousel_ring_slots_held",] == 3
    assert samples["carousel_ring_slots_limit",] == 4
    assert samples["carousel_engine_ready",] == 1


async def test_what_had_been_computed_before(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    """Of a prompt, whose tokens are counted once however many answers it gets; the salt goes to the engine."""
    engine.play = lambda request: say("Hello!", cached_tokens=5)
    bodies = {
        COMPLETIONS: {"prompt": ["one two", "three four"], "n": 2},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "n": 2},
        "/v1/responses": {"input": "hi"},
    }
    for path, body in bodies.items():
        usage = (await http.post(path, json=body | {"cache_salt": "a"})).json()["usage"]
        details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
        cached = details["cached_tokens"]
        assert cached == (10 if path == COMPLETIONS else 5)
        assert (await scrape(http))["carousel_cached_prompt_tokens_total", path] == cached
    assert {request.cache_salt for request in engine.submitted} == {"a"}


async def test_names_and_descriptions(http: httpx.AsyncClient) -> None:
    response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = list(text_string_to_metric_families(response.text))
    assert all(family.name.startswith("carousel_") and family.documentation for family in families)
    accepts = {"accept": "application/openmetrics-text; version=1.0.0"}
    assert (await http.get("/metrics", headers=accepts)).text.endswith("# EOF\n")
