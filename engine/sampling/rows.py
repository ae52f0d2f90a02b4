"""What the sampler needs to know of each row of logits."""

from msgspec import Struct
from torch import Tensor

from engine.grammar import GrammarState
from engine.request import SamplingParams
from engine.sampling.occurrences import Occurrences


class SamplingRow(Struct, frozen=True, eq=False):
    """A request's parameters and the state of its answer that they depend on: the same object at each of its steps.

    `sampling.seed` is set. `stop_ids` are banned until `min_tokens` are written. `occurrences` count the tokens so far,
    if `sampling` has penalties. `grammar` has advanced by the tokens so far.
    """

    sampling: SamplingParams
    stop_ids: frozenset[int] = frozenset()
    occurrences: Occurrences | None = None
    grammar: GrammarState | None = None


class Coming(Struct, frozen=True):
    """The last tokens of some rows, int64 [rows], which only the device knows yet."""

    rows: list[int]
    tokens: Tensor
