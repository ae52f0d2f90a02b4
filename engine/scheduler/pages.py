"""The pool of pages: integers handed out and taken back."""

from collections.abc import Iterable

from engine.errors import MemoryPlanError


class PagePool:
    """`total` pages, each free or owned by one holder. The most recently freed page is handed out first."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._free = list(range(total - 1, -1, -1))
        self._held: set[int] = set()

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def held(self) -> int:
        return len(self._held)

    def take(self, count: int) -> list[int]:
        """Hands out `count` pages. Raises MemoryPlanError if fewer are free: ask `free` first."""
        if count > self.free:
            raise MemoryPlanError(f"{count} pages wanted, {self.free} of {self.total} are free")
        pages = [self._free.pop() for _ in range(count)]
        self._held.update(pages)
        return pages

    def give_back(self, pages: Iterable[int]) -> None:
        """Takes pages back. Raises MemoryPlanError for a page nobody holds."""
        for page in pages:
            if page not in self._held:
                raise MemoryPlanError(f"page {page} was given back twice")
            self._held.remove(page)
            self._free.append(page)


def pages_for(tokens: int, page_size: int) -> int:
    """How many pages hold `tokens` positions.

    >>> pages_for(0, 16), pages_for(16, 16), pages_for(17, 16)
    (0, 1, 2)
    """
    return -(-tokens // page_size)
