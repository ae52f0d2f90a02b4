"""The steps that compile a GPU's kernels before the first request."""

from unittest.mock import Mock

import pytest
import triton

from engine.kernels.triton import experts, fp8_linear, norm_linear, router
from engine.kernels.triton.paged_attention import decode_splits
from engine.kernels.triton.routing import DIRECT_PAIRS, most_tiles, tile_tokens
from engine.runner import warming
from engine.runner.runner import Task
from engine.runner.warming import step_sizes, warm_up
from tests.engine.test_equality import assert_same, checkpoint, requests
from tests.engines import build_engine, run


def test_every_step_is_run_in_places_that_there_are() -> None:
    runner, told = Mock(), []
    runner.pages.page_size = 16
    runner.pages.count, runner.ring_pages.count = 9, 8
    warm_up(runner, 3, 70, lambda *now: told.append(now))
    steps: list[list[Task]] = [call.args[0] for call in runner.launch.call_args_list]
    assert [tuple(task.chunk.count for task in tasks) for tasks in steps] == step_sizes(3, 70)
    assert told == [(done, len(steps)) for done in range(len(steps) + 1)]
    assert runner.launch.return_value.read.call_count == len(steps)
    for moved in (runner.ring_pages.save, runner.ring_pages.restore):
        moved.assert_called_once_with(0, range(8))
    for tasks in steps:
        assert [task.chunk.slot for task in tasks] == list(range(len(tasks)))
        assert {task.chunk.pages for task in tasks} == {tuple(range(-(-tasks[0].chunk.count // 16)))}
    for kind in (lambda tasks: len(tasks[0].chunk.token_ids) == 1, lambda tasks: len(tasks[0].chunk.token_ids) > 1):
        assert {task.row for tasks in filter(kind, steps) for task in tasks} == set(warming.ROWS)


def test_nothing_of_them_is_left() -> None:
    engine = build_engine(checkpoint())
    warm_up(engine.runner, 4, 256, lambda done, total: None)
    assert_same(run(engine, requests(6)))


def variant(tokens: int, count: int, widest: int) -> tuple[object, ...]:
    """What the kernels are compiled for anew, by a step's tokens, with gpt-oss' shapes and `count` experts."""
    pairs = 4 * tokens
    direct = pairs <= DIRECT_PAIRS
    tile = DIRECT_PAIRS if direct else tile_tokens(pairs, count, widest)
    resident = pairs >= experts.RESIDENT_PAIRS * count
    tiles, rows = (pairs, 64) if direct else (most_tiles(pairs, count, tile), 128)
    few = min(tokens, norm_linear.FEW_TOKENS + 1)
    return (
        (direct, tile, resident, experts.groups_per_split(23, triton.cdiv(2880, rows) * tiles)),
        triton.next_power_of_2(few),
        min(64, max(16, triton.next_power_of_2(tokens))) if tokens <= fp8_linear.MOST_TOKENS else None,
        tokens <= router.FEW_TOKENS,
    )


@pytest.mark.parametrize(("count", "widest"), [(32, 64), (32, 128), (128, 64), (128, 128)])
def test_every_width_of_a_tile_is_among_them(count: int, widest: int) -> None:
    kinds = list(zip(*(variant(tokens, count, widest) for tokens in range(1, 8193)), strict=True))
    warmed = list(zip(*(variant(sum(sizes), count, widest) for sizes in step_sizes(256, 8192)), strict=True))
    assert [set(kind) for kind in warmed] == [set(kind) for kind in kinds]
    decoding = {decode_splits(len(sizes), 8) for sizes in step_sizes(256, 8192) if set(sizes) == {1}}
    assert decoding == {decode_splits(sequences, 8) for sequences in range(1, 257)}
