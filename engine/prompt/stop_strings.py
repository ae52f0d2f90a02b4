"""Stop strings, found in text that arrives in pieces (Aho and Corasick, 1975)."""

from collections import deque
from collections.abc import Iterable
from copy import copy


class _Node:
    """A prefix of some stop string. `fallback` is its longest proper suffix that is also a prefix of one."""

    __slots__ = ("children", "depth", "fallback", "stop")

    def __init__(self, depth: int) -> None:
        self.children: dict[str, _Node] = {}
        self.depth = depth
        self.fallback: _Node | None = None
        self.stop: str | None = None  # the longest stop string that ends here


class StopStrings:
    """Cuts a text before the first stop string in it, and never shows the beginning of one too early.

    The match is the one that ends first; of several ending at the same character, the longest. Without a match,
    exactly the longest end of the text that may still become a stop string is held back. The cost per character
    depends neither on the number of stop strings nor on their lengths.

    >>> stops = StopStrings(["END", "\\n\\n"])
    >>> stops.feed("the E"), stops.feed("A EN"), stops.feed("D more"), stops.matched
    ('the ', 'EA ', '', 'END')
    """

    def __init__(self, stops: Iterable[str], *, included: bool = False) -> None:
        """`stops` are non-empty strings. `included`: the match is shown, too."""
        self._root = self._node = _automaton(stops)
        self._included = included
        self._held = ""
        self.matched: str | None = None

    def afresh(self) -> "StopStrings":
        """The same stop strings for another text; their automaton is shared."""
        other = copy(self)
        other._node, other._held, other.matched = self._root, "", None
        return other

    def feed(self, text: str) -> str:
        """Takes the next piece of text, returns what is safe to show: nothing, once a stop string matched."""
        if self.matched is not None:
            return ""
        seen = self._held + text
        for position, char in enumerate(text, start=len(self._held) + 1):
            self._node = _step(self._node, char)
            if self._node.stop is not None:
                self.matched = self._node.stop
                self._held = ""
                return seen[: position if self._included else position - len(self.matched)]
        shown = len(seen) - self._node.depth
        self._held = seen[shown:]
        return seen[:shown]

    def flush(self) -> str:
        """What was held back, when no more text will come."""
        held, self._held, self._node = self._held, "", self._root
        return held


def _step(node: _Node, char: str) -> _Node:
    while char not in node.children:
        if node.fallback is None:
            return node
        node = node.fallback
    return node.children[char]


def _automaton(stops: Iterable[str]) -> _Node:
    root = _Node(0)
    for stop in stops:
        node = root
        for char in stop:
            node = node.children.setdefault(char, _Node(node.depth + 1))
        node.stop = stop
    queue = deque(root.children.values())
    for node in queue:
        node.fallback = root
    while queue:
        node = queue.popleft()
        for char, child in node.children.items():
            assert node.fallback is not None
            child.fallback = _step(node.fallback, char)
            child.stop = child.stop or child.fallback.stop
            queue.append(child)
    return root
