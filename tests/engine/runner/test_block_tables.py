"""What is sent of block tables, and what then stands on the device."""

import random

import pytest
import torch
from numpy.typing import ArrayLike, DTypeLike

from engine.runner import block_tables
from engine.runner.block_tables import BlockTables

CPU = torch.device("cpu")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many numbers were sent, a call each."""
    sizes = []

    def noting(numbers: ArrayLike, dtype: DTypeLike, device: torch.device) -> torch.Tensor:
        there = numbers_to_device(numbers, dtype, device)
        sizes.append(there.numel())
        return there

    numbers_to_device = block_tables.numbers_to_device
    monkeypatch.setattr(block_tables, "numbers_to_device", noting)
    return sizes


def holds(tables: BlockTables, wanted: list[tuple[int, ...]]) -> bool:
    return all(tuple(tables.rows[row, : len(table)].tolist()) == table for row, table in enumerate(wanted))


def test_the_worked_examples(sent: list[int]) -> None:
    tables = BlockTables(3, 4, CPU)
    tables.turn([2, 0, 7], [(4, 6), (5, 1, 9), (3,)])
    tables.turn([0, 7], [(5, 1, 9), (3, 8)])
    assert tables.rows[:, :3].tolist() == [[5, 1, 9], [3, 8, 0], [3, 0, 0]]
    assert sent == [2 * 6, 2 * 2, 2 * 1]


def test_where_a_request_ends_no_page_is_sent_again(sent: list[int]) -> None:
    """Of 256 with 96 pages each: the row that each of the others moves from, and to."""
    tables = BlockTables(256, 100, CPU)
    wanted = [tuple(range(96 * number, 96 * number + 96)) for number in range(256)]
    tables.turn(range(256), wanted)
    assert sent == [2 * 256 * 96]
    tables.turn(range(1, 256), wanted[1:])
    assert sent[1:] == [2 * 255]
    assert holds(tables, wanted[1:])
    tables.turn(range(1, 256), wanted[1:])
    assert len(sent) == 2


def test_after_a_failure_underway_all_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows have moved up on the device when what is new cannot be sent."""
    tables, numbers_to_device = BlockTables(3, 4, CPU), block_tables.numbers_to_device
    wanted = [(4, 6), (5, 1, 9), (3,)]
    tables.turn([2, 0, 7], wanted)
    calls = []

    def failing(numbers: ArrayLike, dtype: DTypeLike, device: torch.device) -> torch.Tensor:
        calls.append(numbers)
        if len(calls) == 2:
            raise MemoryError
        return numbers_to_device(numbers, dtype, device)

    monkeypatch.setattr(block_tables, "numbers_to_device", failing)
    with pytest.raises(MemoryError):
        tables.turn([0, 7], [wanted[1], (3, 8)])
    assert not holds(tables, wanted)
    tables.turn([2, 0, 7], wanted)
    assert holds(tables, wanted)


def test_requests_that_come_grow_and_go() -> None:
    """Some begin with the pages of another, some come back into their ring with other pages, some in another order."""
    dice = random.Random(3)
    tables, decoding, free = BlockTables(8, 12, CPU), dict[int, tuple[int, ...]](), 0
    for _ in range(400):
        for ring in [*decoding]:
            if dice.random() < 0.1:
                del decoding[ring]
            elif dice.random() < 0.3 and len(decoding[ring]) < 12:
                decoding[ring] += (free,)
                free += 1
        for ring in range(8):
            if ring not in decoding and dice.random() < 0.1:
                shared = dice.choice([*decoding.values(), ()])[: dice.randrange(4)]
                count = dice.randrange(1, 6)
                decoding[ring] = (*shared, *range(free, free + count))
                free += count
        order = [*decoding]
        if dice.random() < 0.1:
            dice.shuffle(order)
        wanted = [decoding[ring] for ring in order]
        tables.turn(order, wanted)
        assert holds(tables, wanted)
