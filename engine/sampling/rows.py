"""What the sampler needs to know of each row of logits."""

from msgspec import Struct
from torch import Tensor

from engine.grammar import GrammarState
from engine.request import SamplingParams
from engine.sampling.occurrences import Occurrences


class SamplingRow(Struct, frozen=True, eq=False):
    """A request's parameters and what of its answer they depend on: the same object at each of its steps.

    `sampling.seed` is set. `stop_ids` may not come before `min_tokens` are written. `occurrences`, those of the tokens
    so far, are there if `sampling` has penalties. `grammar` stands where the tokens so far have led it.
    """

    sampling: SamplingParams
    stop_ids: frozenset[int] = frozenset()
    occurrences: Occurrences | None = None
    grammar: GrammarState | None = None


class Coming(Struct, frozen=True):
    """The last tokens of some rows, int64 [rows], where the device alone knows them."""

    rows: list[int]
    tokens: Tensor
