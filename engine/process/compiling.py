"""Grammars compiled beside the engine's steps: a large one delays only the request that it belongs to."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from engine.grammar import GrammarCompiler, GrammarState
from engine.request import Request

WAIT_SECONDS = 0.01
"""How long an idle engine waits for a grammar before it reads messages again."""


class Compiling:
    """Requests whose grammars are being compiled, one after another in a separate thread; the compiler caches them.

    Leaving the block, as a context manager, drops those that have not begun.
    """

    def __init__(self, grammars: GrammarCompiler) -> None:
        self._grammars = grammars
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._under_way: dict[Future[GrammarState], Request] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, request: Request, grammar: str) -> None:
        self._under_way[self._thread.submit(self._grammars.compile, grammar)] = request

    def drop(self, request_id: str) -> None:
        """Forgets a request, if it is one of these."""
        for future in [future for future, request in self._under_way.items() if request.id == request_id]:
            future.cancel()
            del self._under_way[future]

    def finished(self, *, can_wait: bool) -> list[tuple[Request, Future[GrammarState]]]:
        """Requests whose compilation succeeded or failed; with `can_wait`, waits up to WAIT_SECONDS for the first."""
        done, _ = wait(self._under_way, WAIT_SECONDS if can_wait else 0, return_when=FIRST_COMPLETED)
        return [(self._under_way.pop(future), future) for future in list(self._under_way) if future in done]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
