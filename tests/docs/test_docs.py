"""The documentation: its examples run, its links lead somewhere, and what is made of the program is up to date."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.make.__main__ import DOCS, MADE
from docs.make.terminal import PICTURE
from server.commands.foreign_flags import FLAGS
from tests.server.started import read_until_ready

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
URL = "http://127.0.0.1:8000"
PROGRAM = f'{sys.executable} -c "from server.cli import main; main()"'
PRELUDE = f'carousel() {{ {PROGRAM} "$@"; }}\ncurl() {{ {sys.executable} {ROOT}/tests/docs/curl.py "$@"; }}\n'


def examples() -> Iterator[pytest.ParameterSet]:
    """The blocks marked `run`, as (page, language, code)."""
    for page in PAGES:
        blocks = re.findall(r"^```(\w+) run\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        for number, (language, code) in enumerate(blocks, start=1):
            yield pytest.param(language, code, id=f"{page.name}-{number}")


EXAMPLES = list(examples())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server as the quickstart starts it, but for the port."""
    command = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        address, _ = read_until_ready(process)
        yield address
        process.terminate()


@pytest.mark.parametrize(("language", "code"), EXAMPLES)
def test_examples(url: str, tmp_path: Path, language: str, code: str) -> None:
    code = code.replace(URL, url)
    if language == "python":
        command = [sys.executable, "-c", code]
    else:
        assert language == "sh"
        command = ["bash", "-eo", "pipefail", "-c", PRELUDE + code]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CAROUSEL_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
    if "carousel config" in code:
        assert re.search(r"^max-num-seqs: 4 +# CAROUSEL_MAX_NUM_SEQS$", done.stdout, re.MULTILINE)
        assert re.search(r"^port: 9000 +# --port$", done.stdout, re.MULTILINE)
        assert re.search(r"^max-model-len: 2048 +# carousel.yaml$", done.stdout, re.MULTILINE)
    if "json_schema" in code:
        assert done.stdout == "['age', 'name']\n"
    if '"choice"' in code:
        assert re.search(r'"text":"(yes|no)"', done.stdout)
    if "except BadRequestError" in code:
        assert done.stdout.startswith("temperature - ")


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 15
    assert {page.name for page in PAGES} > {"quickstart.md", "api.md", "operations.md", "gpu.md", "architecture.md"}


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == MADE[name](), "run `python -m docs.make`"


def test_the_terminal_was_recorded() -> None:
    shown = re.sub(r"<[^>]+>|&#160;", " ", PICTURE.read_text())
    assert "small model that ships with Carousel" in re.sub(r"\s+", " ", shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith("http"):
            file, _, heading = target.partition("#")
            linked = page.parent / file if file else page
            assert linked.exists(), target
            if heading:
                lines = linked.read_text().splitlines()
                assert heading in [line.lstrip("# ").lower().replace(" ", "-") for line in lines], target


@pytest.mark.parametrize("name", ["quickstart", "gpu", "api", "clients", "operations", "architecture", "determinism"])
def test_settings_that_are_named_exist(name: str) -> None:
    """In the pages of the `carousel` command alone: flags and CAROUSEL_… variables are those of some command, or of the
    benchmarks that the page says how to run, or vLLM's."""
    names = re.compile(r"(?<=[ `])--[a-z][a-z-]+|\bCAROUSEL_[A-Z_]+\b")
    known = [*names.findall((DOCS / "commands.md").read_text()), *FLAGS]
    page = (DOCS / f"{name}.md").read_text()
    for script in re.findall(r"^python -m benchmarks\.(\w+)", page, re.MULTILINE):
        source = (ROOT / "benchmarks" / f"{script}.py").read_text()
        known += re.findall(r'add_argument\("(--[a-z-]+)"', source)
    assert set(names.findall(page)) <= {*known, "--help"}


def test_every_event_of_the_log_is_listed() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "server").rglob("*.py"))
    logged = re.findall(r'\blog\(\s*logging\.[^"]*,\s*"(\w+)"|"event": "(\w+)"', code)
    table = (DOCS / "operations.md").read_text().partition("| event | |")[2].partition("\n\n")[0]
    listed = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert set(listed) == {first or second for first, second in logged}
