"""README.md's table of speeds, from the figures that `python -m benchmarks.cpu` wrote."""

import re
from pathlib import Path

from benchmarks.cpu_results import Results
from benchmarks.cpu_table import readme_table

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "benchmarks" / "results" / "cpu.json"
PLACE = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


def readme_with_figures() -> str:
    """The README with the table of the latest figures in its place."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme_table(Results.read(FIGURES))
    return PLACE.sub(lambda _: f"\n{table}\n\n", text)
