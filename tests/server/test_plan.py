"""`carousel plan`: tables from a config.json, for cards that are not there."""

import doctest
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import server.commands.plan
from server.cli import app
from server.commands.plan import CARDS, choose_device
from tests.engine.checkpoint.published import HUGGING_FACE_20B, write_json

MIB = 2**20


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A directory with 20b's config.json and nothing else."""
    write_json(tmp_path / "config.json", HUGGING_FACE_20B)
    return tmp_path


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def table(output: str) -> list[list[str]]:
    """The rows under the heading, cell by cell."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("context "))
    rows = [line for line in lines[start:] if line.lstrip()[:1].isdigit()]
    return [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]


def test_a_card(published: Path) -> None:
    result = plan(str(published), "--card", "h200")
    assert result.exit_code == 0, result.stderr
    rows = table(result.stdout)
    assert [row[0] for row in rows] == ["1,024", "4,096", "16,384", "65,536", "131,072"]
    longest = rows[-1]
    assert longest[1:3] == ["3,075.0 MiB", "6,144.0 MiB"]
    assert int(longest[3]) == 2 * int(longest[4])
    assert all(float(row[5].replace(",", "")) <= float(row[6].replace(",", "")) for row in rows)
    assert "the most that memory of 4,800 GB/s allows" in result.stdout


def test_the_floor_is_in_proportion_to_the_bandwidth(published: Path) -> None:
    speeds = [
        float(table(plan(str(published), "--memory", "80G", "--bandwidth", bandwidth).stdout)[0][5].replace(",", ""))
        for bandwidth in ("4.3TB", "430GB")
    ]
    assert speeds == [1151, 115]


def test_without_a_bandwidth_there_are_no_speeds(published: Path) -> None:
    output = plan(str(published), "--memory", "80G").stdout
    assert "tok/s" not in output
    assert {len(row) for row in table(output)} == {5}


def test_parts_of_a_card_may_be_replaced() -> None:
    assert choose_device("l4", None, None, "auto") == CARDS["l4"]
    changed = choose_device("l4", 48 * MIB, 10**9, "auto")
    assert (changed.memory_bytes, changed.bandwidth, changed.is_gpu) == (48 * MIB, 10**9, True)
    assert not choose_device(None, MIB, None, "cpu").is_gpu


def test_this_machine() -> None:
    result = plan("--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "tok/s" not in result.stdout


def test_an_unknown_card() -> None:
    result = plan("--card", "h2o")
    assert result.exit_code == 2
    assert "h2o" in result.stderr
    assert "h200" in result.stderr


def test_too_small_a_card(published: Path) -> None:
    result = plan(str(published), "--card", "l4", "--gpu-memory-utilization", "0.5")
    assert result.exit_code == 1
    assert "do not fit" in result.stderr
    assert "more memory is needed, see `carousel plan`" in plan(str(published), "--memory", "8G").stderr


def test_examples() -> None:
    result = doctest.testmod(server.commands.plan)
    assert (result.attempted > 0, result.failed) == (True, 0)
