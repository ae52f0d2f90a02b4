"""The documents' tables of speeds, from the results of `python -m benchmarks.cpu`."""

import re
from pathlib import Path

from benchmarks.cpu_results import Results
from benchmarks.cpu_table import readme_table

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "benchmarks" / "results"
PLACE = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


def with_figures(page: str, file: str) -> str:
    """A page of the repository with its table replaced by that of a result file."""
    text = (ROOT / page).read_text(encoding="utf-8")
    table = readme_table(Results.read(FIGURES / file))
    return PLACE.sub(lambda _: f"\n{table}\n\n", text)
