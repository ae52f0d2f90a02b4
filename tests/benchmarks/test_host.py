"""The benchmark of the host's own time a step runs, and decodes as a GPU does."""

import pytest

from benchmarks import host


@pytest.mark.parametrize("style", host.STYLES)
def test_it_decodes_in_graphs_a_step_ahead(style: str) -> None:
    engine = host.start(3, 40, host.STYLES[style])
    assert engine.runner.graphs is not None
    assert engine.step() == []
    assert [len(event.token_ids) for event in engine.step()] == [1, 1, 1]
    got = host.measure(2, 40, style, steps=2)
    assert got["microseconds"] > 0  # type: ignore[operator]
    assert got["of_floor"] > 0  # type: ignore[operator]
