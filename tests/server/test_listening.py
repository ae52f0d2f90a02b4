"""The limit on open files: raised as far as the system lets it be, and never lowered."""

import resource

import pytest

from server.listening import descriptors_for_connections

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "most", "after"),
    [
        (256, INFINITE, 10_240, 8_192),  # macOS, with its kern.maxfilesperproc
        (256, INFINITE, 300, 256),
        (1024, 524_288, 524_288, 65_536),
        (1024, 4096, 4096, 4096),
        (1024, 4096, 1024, 1024),
        (524_288, 524_288, 524_288, 524_288),
        (INFINITE, INFINITE, 524_288, INFINITE),
        (16, 16, 16, 16),
    ],
)
@pytest.mark.parametrize("error", [ValueError, OSError])
def test_the_limit_on_open_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int, after: int, error: type[Exception]
) -> None:
    limits = [(soft, hard)]

    def setrlimit(which: int, new: tuple[int, int]) -> None:
        assert (which, new[1]) == (resource.RLIMIT_NOFILE, hard)
        if new[0] > most:
            raise error("not allowed to raise maximum limit")
        limits.append(new)

    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    connections = descriptors_for_connections()
    assert limits[-1] == (after, hard)
    assert connections == (65_472 if after in (INFINITE, 524_288) else max(1, after - 64))
