"""How fast decode can be at best: each step reads weights, keys and values, and memory bandwidth limits how fast."""

from dataclasses import dataclass

from engine.config import EngineConfig, ExpertFormat, ModelConfig
from engine.memory_sizes import kv_sizes, weight_sizes


@dataclass(frozen=True, slots=True)
class DecodeFloor:
    """The bytes that decode must read, for a model as `engine` configures it."""

    model: ModelConfig
    engine: EngineConfig
    experts: ExpertFormat

    def step_bytes(self, batch: int, length: int) -> float:
        """Bytes that a step must read to give each of `batch` requests of `length` tokens its next token.

        Of E experts, k chosen by each token, a batch of B touches E·(1 − (1 − k/E)^B) if they are chosen evenly. For
        20b in bfloat16, one request of 1,024 tokens: 24 layers of 53.3 MB and 4 experts of 13.2 MB, 1,158 MB of
        unembedding, 28 MB of keys and values: 3.74 GB; with --quantization fp8 2.52 GB.
        """
        model, engine = self.model, self.engine
        weights = weight_sizes(model, engine.dtype, self.experts, engine.quantization)
        kv = kv_sizes(model, engine.kv_element_bytes)
        touched = model.num_experts * (1 - (1 - model.experts_per_token / model.num_experts) ** batch)
        request = kv.token * length + kv.rings * min(length, model.window) / model.window
        return model.num_layers * (weights.layer + touched * weights.expert) + weights.unembedding + batch * request

    def tokens_per_second(self, batch: int, length: int, bandwidth: float) -> float:
        """Of all requests together, if memory reads `bandwidth` bytes a second."""
        return batch * bandwidth / self.step_bytes(batch, length)
