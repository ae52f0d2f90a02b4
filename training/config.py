"""Every number of the model and of its training."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The model's sizes. Those that MXFP4 packs (hidden_size, intermediate_size) must be multiples of 32.

    Layers alternate between a sliding window and full attention, the even ones sliding. YaRN stretches rotary
    positions by `rope_factor` over `original_max_position`.
    """

    vocab_size: int = 1856
    hidden_size: int = 224
    intermediate_size: int = 96
    num_layers: int = 8
    num_heads: int = 8
    num_kv_heads: int = 4
    head_dim: int = 32
    num_experts: int = 8
    experts_per_token: int = 2
    window: int = 128
    rope_theta: float = 50_000.0
    rope_factor: float = 8.0
    original_max_position: int = 512
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    rms_norm_eps: float = 1e-5
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    initializer_range: float = 0.04

    @property
    def max_position(self) -> int:
        return int(self.original_max_position * self.rope_factor)

    @property
    def layer_types(self) -> tuple[str, ...]:
        return tuple("full_attention" if i % 2 else "sliding_attention" for i in range(self.num_layers))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """One training run. The corpus, the order of its batches and the first weights follow from `seed` alone.

    `documents` are generated, and `held_out` more from phrasings and values kept out of training. In a step each
    process reads about `batch_tokens` tokens. The rates of Muon (matrices) and AdamW (the rest) rise for `warmup_steps`
    and fall to zero over the last `decay_share` of the steps.
    """

    shape: Shape = field(default_factory=Shape)
    seed: int = 0
    documents: int = 345_000
    held_out: int = 200
    steps: int = 6_800
    batch_tokens: int = 4_608
    matrix_rate: float = 6e-4
    learning_rate: float = 3e-3
    decay_share: float = 1.0
    warmup_steps: int = 50
    momentum: float = 0.95
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_clip: float = 1.0
    router_balance: float = 0.01
    bfloat16: bool = True
    checkpoint_every: int = 200

    def last_step(self, stop: int | None) -> int:
        """The step at which a run ends: after `stop` steps, or after all of them (None)."""
        return self.steps if stop is None else min(stop, self.steps)

    def gentler(self) -> "TrainingConfig":
        """The configuration for a model that is already trained: half the learning rates."""
        return replace(self, matrix_rate=self.matrix_rate / 2, learning_rate=self.learning_rate / 2)
