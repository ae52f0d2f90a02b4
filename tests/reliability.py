"""Writes the table of faults in docs/reliability.md from a run of their tests:

python -m pytest -m fault tests/faults --reliability-table docs/reliability.md
"""

import re
from collections import defaultdict
from pathlib import Path

import pytest

FAULTS = (
    "Malformed JSON, an empty body, a top-level array",
    "JSON nested 100,000 deep",
    "A number of 5,000 digits, NaN, Infinity",
    "A lone surrogate or NUL in a prompt",
    "temperature and top_p out of range",
    "n = 0, −1, true, a million",
    "A list of 10,000 prompts",
    "Token ids −1, the vocabulary's size, 2^63",
    "An empty prompt, no messages, an unknown role",
    "max_tokens −1, 2^31",
    "logit_bias with 100,000 entries, bad ids, ±1e9",
    "1,000 stop strings, an empty one, one of a megabyte",
    "More top_logprobs than there may be",
    "A field that is not supported",
    "Markup inside a prompt",
    "An unknown model, a wrong method, a wrong content type",
    "A prompt one token too long, and one that just fits",
    "A chunked body of a gigabyte",
    "Headers of 64 KB",
    "500 requests at once on 8 slots and a queue of 16",
    "An allocation that fails",
    "File descriptors used up",
    "A prompt of 4 MB being tokenised",
    "Pages that run out in the middle of answers",
    "A client that leaves, at every phase",
    "A request cancelled while it is added",
    "A reader that stops reading",
    "Slow headers, a slow body",
    "A request aborted twice, or as it finishes",
    "Two requests with one client id",
    "A forward pass that raises",
    "NaN in one row",
    "A forward pass that hangs",
    "The engine's process killed",
    "A detokeniser that raises",
    "A long prefill",
    "Weights truncated, overlapping, misshapen, missing, extra; a huge header",
    "SIGTERM under load, and a second one",
    "A port that is taken, a bad flag, a model that cannot be read",
    "Requests while the model loads",
    "No key, on every route",
    "Hosts and paths in disguise",
    "Keys that are none",
    "A foreign Host or Origin",
    "A hostile chat template",
    "A secret in a prompt",
    "Code or addresses in data",
)
"""The fault of each row, numbered from 1."""

BEGIN, END = "<!-- faults: written by the tests -->\n", "<!-- faults: end -->\n"
ROW = re.compile(r"^\| (\d+) \| [^|]* \| (.*) \| ([^|]*) \|$", re.MULTILINE)


class ReliabilityTable:
    """A pytest plugin that records which tests belong to which fault and how they end, and writes the table."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cases: dict[tuple[int, str], set[str]] = defaultdict(set)
        self.outcomes: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for mark in item.iter_markers("fault"):
                self.cases[mark.args[0], item.nodeid.partition("[")[0]].add(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.when == "call" and report.nodeid not in self.outcomes):
            self.outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        before, _, rest = self.path.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        self.path.write_text(f"{before}{BEGIN}{self.table()}{END}{after}")

    def table(self) -> str:
        lines = ["| | fault | tests, and in how many cases | result |", "|---|---|---|---|"]
        for number, fault in enumerate(FAULTS, start=1):
            tests = sorted((test, cases) for (row, test), cases in self.cases.items() if row == number)
            named = "<br>".join(f"`{test.removeprefix('tests/faults/')}` {len(cases)}" for test, cases in tests)
            ends = {self.outcomes.get(case, "not run") for _, cases in tests for case in cases}
            lines.append(f"| {number} | {fault} | {named} | {', '.join(sorted(ends)) or 'no test'} |")
        return "\n".join(lines) + "\n"


def read_table(text: str) -> dict[int, tuple[list[str], str]]:
    """Each fault's tests with the number of their cases, and the result."""
    return {int(number): (tests.split("<br>"), result) for number, tests, result in ROW.findall(text)}
