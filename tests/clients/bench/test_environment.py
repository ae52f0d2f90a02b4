"""Where numbers come from is told truly, or not at all."""

import subprocess
from pathlib import Path

import pytest

from clients.bench import environment


def test_a_commit_is_this_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Installed beneath another program's repository, the code is of no commit."""

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b", *arguments], cwd=tmp_path, check=True)

    source = tmp_path / "environment.py"
    source.touch()
    monkeypatch.setattr(environment, "__file__", str(source))
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "another program")
    assert environment.commit() is None
    git("add", source.name)
    git("commit", "--quiet", "--message", "this one")
    assert len(environment.commit() or "") == 40
