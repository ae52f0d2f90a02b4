"""The owners of ring slots and pages: audits the scheduler's books against its sequences."""

from collections import Counter
from dataclasses import dataclass

from engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Leaks:
    """Places that no running sequence holds and that are not free, or that have two holders."""

    slots: int = 0
    pages: int = 0

    def __bool__(self) -> bool:
        return bool(self.slots or self.pages)


def leaks(engine: Engine) -> Leaks:
    """Counts deviations: each slot must have one owner, a running sequence or the free list; each page must have as
    many holders and keepers as the pool has recorded, and be free if it has none."""
    scheduler = engine.scheduler
    slots = [s.slot for s in scheduler.running] + scheduler.free_slots
    pool, prefixes = scheduler.pool, list(scheduler.prefixes or ())
    held = Counter(page for s in scheduler.running for page in s.pages + s.borrowed)
    held.update(page for s in scheduler.running for prefix in s.saved for page in prefix.rings)
    kept = Counter(page for prefix in prefixes for page in prefix.pages + prefix.rings)
    owned = [*pool._free, *(held | kept)]
    wrong = sum(pool._holders[page] != held[page] or pool._keepers[page] != kept[page] for page in owned)
    return Leaks(misplaced(slots, scheduler.slots), misplaced(owned, pool.total) + wrong)


def misplaced(owned: list[int | None], total: int) -> int:
    """How far a list of places is from having each place below `total` once.

    >>> misplaced([2, 0, 1], 3), misplaced([2, 0], 3), misplaced([2, 0, 0, 1], 3)
    (0, 1, 1)
    """
    return len(set(range(total)) - set(owned)) + len(owned) - len(set(owned))
