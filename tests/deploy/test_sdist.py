"""What is published as source is the whole checkout: `make test` runs in it."""

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALWAYS = {".gitignore", "LICENSE", "README.md", "pyproject.toml"}
"""What hatchling adds by itself."""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_all_that_is_checked_in_is_published() -> None:
    command = ["git", "ls-files"]
    files = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    published = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {Path(file).parts[0] for file in files} == {*published, *ALWAYS}
