"""What the sampler needs to know of each row of logits."""

from msgspec import Struct

from engine.grammar import GrammarState
from engine.request import SamplingParams
from engine.sampling.occurrences import Occurrences


class SamplingRow(Struct, frozen=True):
    """One row: its parameters, how many tokens its answer has so far, and the tokens that may not come now.

    `sampling.seed` is set. `occurrences` are those of the tokens so far, and are there if `sampling` has penalties;
    with `coming`, the last token is not among them: the device alone knows it. `banned` are the stop tokens of a
    request that has not yet written `min_tokens`. `grammar` stands where the tokens so far have led it.
    """

    sampling: SamplingParams
    written: int
    occurrences: Occurrences | None = None
    coming: bool = False
    banned: tuple[int, ...] = ()
    grammar: GrammarState | None = None

    @property
    def adjusts(self) -> bool:
        """Whether anything changes this row's logits."""
        occurs = self.occurrences is not None
        return occurs or bool(self.banned) or bool(self.sampling.logit_bias) or self.grammar is not None
