"""docs/reliability.md tells of every fault, and of exactly the tests there are."""

import subprocess
import sys
from pathlib import Path

from tests.reliability import BEGIN, END, FAULTS, ReliabilityTable, read_table

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "reliability.md"


def test_every_fault_has_its_tests_and_the_table_names_them(tmp_path: Path) -> None:
    """If not: `python -m pytest -m fault tests/faults --reliability-table docs/reliability.md`"""
    collected = tmp_path / "reliability.md"
    collected.write_text(BEGIN + END)
    subprocess.run(
        [
            sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "fault", str(ROOT / "tests" / "faults"),
            "--reliability-table", str(collected),
        ],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    there, told = read_table(collected.read_text()), read_table(COMMITTED.read_text())
    assert list(there) == list(range(1, len(FAULTS) + 1))
    assert {number for number, (tests, _) in there.items() if tests == [""]} == set()
    assert {number: tests for number, (tests, _) in told.items()} == {n: tests for n, (tests, _) in there.items()}
    assert {result for _, result in told.values()} == {"passed"}


def test_the_table_tells_how_tests_end(tmp_path: Path) -> None:
    file = tmp_path / "reliability.md"
    file.write_text(f"Before.\n{BEGIN}old{END}After.\n")
    table = ReliabilityTable(file)
    table.cases = {(1, "tests/faults/a.py::t"): {"t[1]", "t[2]"}, (2, "tests/faults/a.py::u"): {"u"}}
    table.outcomes = {"t[1]": "passed", "t[2]": "failed", "u": "passed"}
    table.pytest_sessionfinish()
    text = file.read_text()
    assert (text.startswith("Before.\n"), text.endswith("After.\n"), "old" in text) == (True, True, False)
    rows = read_table(text)
    assert rows[1] == (["`a.py::t` 2"], "failed, passed")
    assert rows[2] == (["`a.py::u` 1"], "passed")
    assert rows[3] == ([""], "no test")
