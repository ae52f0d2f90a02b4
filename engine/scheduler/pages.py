"""The pool of pages: integers handed out and taken back."""

from collections.abc import Iterable

from engine.errors import MemoryPlanError


class PagePool:
    """`total` pages, each free, or held by sequences (several may share it), or kept for prefixes, or both held and
    kept. The most recently freed page is handed out first."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.held = 0
        """Pages that sequences hold."""
        self._free = list(range(total - 1, -1, -1))
        self._holders = [0] * total
        self._keepers = [0] * total

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def kept(self) -> int:
        """Pages that are kept for prefixes and held by no sequence."""
        return self.total - self.free - self.held

    def take(self, count: int) -> list[int]:
        """Hands out `count` pages. Raises MemoryPlanError if fewer are free: ask `free` first."""
        if count > self.free:
            raise MemoryPlanError(f"{count} pages wanted, {self.free} of {self.total} are free")
        pages = [self._free.pop() for _ in range(count)]
        self.share(pages)
        return pages

    def share(self, pages: Iterable[int]) -> None:
        """Adds a holding sequence to each page."""
        for page in pages:
            self.held += not self._holders[page]
            self._holders[page] += 1

    def give_back(self, pages: Iterable[int]) -> list[int]:
        """Removes a holding sequence from each page; returns the pages that are free now. Raises MemoryPlanError for a
        page that no sequence holds."""
        freed = []
        for page in pages:
            if not self._holders[page]:
                raise MemoryPlanError(f"page {page} was given back twice")
            self._holders[page] -= 1
            self.held -= not self._holders[page]
            freed += self._freed(page)
        return freed

    def only_kept(self, pages: Iterable[int]) -> int:
        """How many of these pages no sequence holds."""
        return sum(not self._holders[page] for page in pages)

    def keep(self, pages: Iterable[int]) -> None:
        """Adds a keeping prefix to each page."""
        for page in pages:
            self._keepers[page] += 1

    def let_go(self, pages: Iterable[int]) -> list[int]:
        """Removes a keeping prefix from each page; returns the pages that are free now."""
        freed = []
        for page in pages:
            self._keepers[page] -= 1
            freed += self._freed(page)
        return freed

    def _freed(self, page: int) -> list[int]:
        if self._holders[page] or self._keepers[page]:
            return []
        self._free.append(page)
        return [page]
