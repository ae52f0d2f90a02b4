"""Grammars compiled beside the engine's steps: a large one delays the request that brought it, and nobody else."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from engine.grammar import GrammarCompiler, GrammarState
from engine.request import Request

WAIT_SECONDS = 0.01
"""For a grammar, where there is nothing else to do; then messages are heard again."""


class Compiling:
    """Requests whose grammars are compiled, one after another in a thread of their own; the compiler remembers them.

    Leaving the block, as a context manager, drops those whose turn has not come.
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
        """Those that are compiled, or could not be; of none, with `can_wait`, those of the next moment."""
        done, _ = wait(self._under_way, WAIT_SECONDS if can_wait else 0, return_when=FIRST_COMPLETED)
        return [(self._under_way.pop(future), future) for future in list(self._under_way) if future in done]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
