"""The documents' tables of speeds, from the results of `python -m benchmarks.cpu`."""

import re
from pathlib import Path

from benchmarks.cpu_results import Results
from benchmarks.cpu_table import readme_table

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "benchmarks" / "results"
PLACE = re.compile(r"(?P<begin><!-- figures of (?P<file>\S+) -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


def with_figures(page: str) -> str:
    """A page of the repository, each of its tables replaced by that of the result file which stands before it."""

    def table(place: re.Match[str]) -> str:
        return f"{place['begin']}\n{readme_table(Results.read(FIGURES / place['file']))}\n\n"

    return PLACE.sub(table, (ROOT / page).read_text(encoding="utf-8"))
