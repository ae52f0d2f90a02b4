"""The dashboard's queries, against the metrics of a server that has seen every kind of request."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.scripted_engine import ScriptedEngine

DASHBOARD = json.loads((Path(__file__).parents[2] / "docs/deploy/grafana/carousel.json").read_text())
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
GIVEN = {"instance", "job"}
"""Labels that Prometheus adds; `up`, a metric of its own, has no others."""

Labels = dict[str, set[str]]


@pytest.fixture
async def labels(url: str, engine: ScriptedEngine) -> Labels:
    """Every sample's name and labels."""
    engine.queue_seconds = 0.01
    async with httpx.AsyncClient(base_url=url) as http:
        await http.post("/v1/completions", json={"prompt": "hi"})
        await http.post("/v1/completions", json={"prompt": "hi", "temperature": 9})
        families = text_string_to_metric_families((await http.get("/metrics")).text)
    samples: Labels = defaultdict(set, up=set())
    for sample in (sample for family in families for sample in family.samples):
        samples[sample.name] |= sample.labels.keys()
    return samples


def parsed(query: str) -> promql_parser.Expr:
    """Grafana fills in its own variables first."""
    return promql_parser.parse(query.replace("$__rate_interval", "20s").replace("$instance", ".*"))


def nodes(expression: Any) -> Iterator[Any]:
    """The expression and all that it is made of."""
    yield expression
    children = [getattr(expression, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    for child in [*children, *getattr(expression, "args", [])]:
        if child is not None:
            yield from nodes(child)


def selectors(expression: Any) -> list[promql_parser.VectorSelector]:
    return [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]


def wrong(query: str, labels: Labels) -> list[str]:
    """What the query asks for that the server does not have."""
    expression, found = parsed(query), []
    for selector in selectors(expression):
        if selector.name not in labels:
            found.append(f"no metric {selector.name}")
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels[selector.name] | GIVEN:
                found.append(f"{selector.name} has no label {matcher.name}")
    for node in nodes(expression):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            for selector in selectors(node):
                for label in node.modifier.labels:
                    if label not in labels.get(selector.name, set()) | GIVEN:
                        found.append(f"{selector.name} cannot be summed by {label}")
        if isinstance(node, promql_parser.Call) and node.func.name == "rate":
            (selector,) = selectors(node)
            if not selector.name.endswith(("_total", "_bucket", "_sum", "_count")):
                found.append(f"{selector.name} is no counter")
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_queries(query: str, labels: Labels) -> None:
    assert selectors(parsed(query))
    assert wrong(query, labels) == []


@pytest.mark.parametrize(
    ("query", "mistake"),
    [
        ("sum(carousel_requests_total)", "no metric carousel_requests_total"),
        (
            "sum by (code) (rate(carousel_errors_total[$__rate_interval]))",
            "carousel_errors_total cannot be summed by code",
        ),
        ('carousel_errors_total{code="x"} or vector(0)', "carousel_errors_total has no label code"),
        ("1 / rate(carousel_requests_running[1m])", "carousel_requests_running is no counter"),
    ],
)
def test_mistakes_are_seen(query: str, mistake: str, labels: Labels) -> None:
    assert wrong(query, labels) == [mistake]


def test_every_panel_heeds_the_chosen_servers() -> None:
    for parameter in QUERIES:
        for selector in selectors(parsed(parameter.values[0])):
            assert "instance" in {matcher.name for matcher in selector.matchers.matchers}


def test_a_number_is_of_now() -> None:
    """Not the last one of a server that has ended."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            assert target.get("instant", False) == (panel["type"] == "stat")


def test_panels_have_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert max(Counter(panel["id"] for panel in panels).values()) == 1
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, two in combinations(places, 2):
        apart = [
            one[axis] + one[size] <= two[axis] or two[axis] + two[size] <= one[axis] for axis, size in ("xw", "yh")
        ]
        assert any(apart), (one, two)
