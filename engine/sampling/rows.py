"""What the sampler needs to know of each row of logits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.grammar import GrammarState
from engine.request import SamplingParams


@dataclass(frozen=True, slots=True)
class SamplingRow:
    """One row: its parameters, the tokens so far, and the tokens that may not come now.

    `sampling.seed` is set. `banned` are the stop tokens of a request that has not yet written `min_tokens`.
    `grammar` stands where the tokens so far have led it.
    """

    sampling: SamplingParams
    prompt: Sequence[int]
    generated: Sequence[int]
    banned: tuple[int, ...] = ()
    grammar: GrammarState | None = None

    @property
    def penalised(self) -> bool:
        s = self.sampling
        return s.presence_penalty != 0 or s.frequency_penalty != 0 or s.repetition_penalty != 1

    def counts(self) -> dict[int, int]:
        """How often each token was generated; tokens of the prompt alone count 0."""
        return dict.fromkeys(self.prompt, 0) | Counter(self.generated)
