"""Known measurements, known numbers."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.bench.load import Concurrency, Rate
from clients.bench.measure import Measurement, measure
from clients.bench.program import Plan, report
from clients.bench.report import Point, document, tables
from clients.bench.statistics import Percentiles, summarize
from clients.bench.workload import Completion
from clients.client import AsyncCarousel

PLAN = Plan(
    loads=[], model="m", num_prompts=None, warmup=0, input_len=1, output_len=1, vocab_size=100, ignore_eos=True,
    dataset=None, seed=0,
)  # fmt: skip
GOOD = Measurement(started=10.0, arrivals=[11.0, 11.5, 13.0], ended=14.0, input_tokens=7, output_tokens=5)
SHORT = Measurement(started=12.0, arrivals=[12.25], ended=18.0, input_tokens=3, output_tokens=1)
BAD = Measurement(started=9.0, arrivals=[9.5], ended=9.75, error="BusyError: full")


def test_one_request() -> None:
    assert GOOD.time_to_first_token == 1.0
    assert GOOD.inter_token_latencies == [0.5, 1.5]
    assert GOOD.time_per_output_token == 0.5, "2 s for the 4 tokens after the first"
    assert GOOD.end_to_end == 4.0
    assert SHORT.time_per_output_token is None


def test_one_load() -> None:
    one = summarize([GOOD, BAD, SHORT])
    assert (one.requests, one.failed, one.errors) == (3, 1, {"BusyError: full": 1})
    assert one.seconds == 9.0
    assert (one.input_tokens, one.output_tokens) == (10, 6)
    assert one.requests_per_second == pytest.approx(2 / 9)
    assert one.output_tokens_per_second == pytest.approx(6 / 9)
    assert one.total_tokens_per_second == pytest.approx(16 / 9)
    assert one.time_to_first_token.p50 == pytest.approx(0.625)
    assert one.inter_token_latency.mean == 1.0
    assert one.end_to_end.p99 == pytest.approx(5.98)


async def test_tokens_that_the_server_does_not_count(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    frames = b'data: {"choices": [{"index": 0, "text": "a"}]}\n\ndata: [DONE]\n\n'
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=frames))
    async with AsyncCarousel(transport=transport) as client:
        measured = await measure(client, Completion([10], {"model": "m"}))
    assert (measured.error, measured.input_tokens, measured.time_per_output_token) == (None, None, None)
    one = summarize([GOOD, measured])
    assert (one.output_tokens, one.output_tokens_per_second, one.total_tokens_per_second) == (None, None, None)
    points = [Point(Concurrency(level), one) for level in (1, 2)]
    report(points, PLAN, "m", {}, output=tmp_path / "out.json", picture=tmp_path / "out.svg")
    printed = capsys.readouterr().out
    assert printed.count("–") == 4, "output and total, of two loads"
    assert printed.count("token counts are unknown") == 1
    assert json.loads((tmp_path / "out.json").read_text())["points"][0]["output_tokens_per_second"] is None


@pytest.mark.parametrize(("lag", "told"), [(0.002, False), (0.5, True)])
def test_a_load_that_came_late_is_told(capsys: pytest.CaptureFixture[str], lag: float, told: bool) -> None:
    report([Point(Rate(2.0, 0), summarize([replace(GOOD, lag=lag)]))], PLAN, "m", {}, output=None, picture=None)
    assert ("2/s: sent 500 ms late (p99)" in capsys.readouterr().out) == told


def test_nothing_but_errors() -> None:
    one = summarize([BAD])
    assert one.time_to_first_token is None
    assert one.output_tokens_per_second == 0
    assert "–" in str(list(tables([Point(Concurrency(1), one)])[0].columns[1].cells))


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_numpys(values: list[float]) -> None:
    known = Percentiles.of(values)
    assert known is not None
    assert known.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert [known.p50, known.p90, known.p99] == pytest.approx(np.percentile(values, [50, 90, 99]), abs=1e-6)
    assert Percentiles.of([]) is None


def test_document() -> None:
    written = document([Point(Rate(2.0, 0), summarize([GOOD]))], {"cpus": 2}, {"seed": 0})
    (point,) = written["points"]
    assert point["request_rate"] == 2.0
    assert point["time_to_first_token"] == {"mean": 1.0, "p50": 1.0, "p90": 1.0, "p99": 1.0}
    assert point["output_tokens_per_second"] == pytest.approx(1.25)
    assert (written["environment"], written["settings"]) == ({"cpus": 2}, {"seed": 0})
