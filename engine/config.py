"""What is configured: the model's numbers (from config.json) and the engine's (from its operator).

Frozen, composed, passed along; nothing here is read from a global and nothing is written back. What is measured
or computed from these has types of its own (`memory_plan.MemoryPlan`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import ConfigError

LayerType = Literal["sliding_attention", "full_attention"]
Dtype = Literal["bfloat16", "float32"]
LoadFormat = Literal["auto", "dummy"]
ExpertFormat = Literal["mxfp4", "dense"]
KvCacheDtype = Literal["auto", "fp8"]
Quantization = Literal["none", "fp8"]

DTYPE_BYTES: dict[Dtype, int] = {"bfloat16": 2, "float32": 4}
FP8_BYTES = 1
MAX_INT64 = 2**63 - 1
"""The largest number accepted on a command line or in a checkpoint: sizes, offsets, and what crosses the pipe to the
engine have 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeConfig:
    """Rotary embedding with YaRN (arXiv 2309.00071). `factor=1` is plain rotary embedding."""

    theta: float
    factor: float = 1.0
    original_max_position: int = 4096
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = False
    attention_factor: float | None = None

    def __post_init__(self) -> None:
        if self.theta <= 1:
            raise ConfigError(f"config.json: rope_theta must be greater than 1, got {self.theta:g}")
        if min(self.original_max_position, self.beta_fast, self.beta_slow) <= 0:
            raise ConfigError(
                "config.json: original_max_position_embeddings, beta_fast and beta_slow of rotary embedding must be "
                f"positive, got {self.original_max_position}, {self.beta_fast:g} and {self.beta_slow:g}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Every number of a gpt-oss-style model. `layer_types` says which slide; `window` counts the token itself."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    num_experts: int
    experts_per_token: int
    window: int
    layer_types: tuple[LayerType, ...]
    max_position: int
    rope: RopeConfig
    rms_norm_eps: float = 1e-5
    swiglu_alpha: float = 1.702
    swiglu_limit: float = 7.0
    tie_word_embeddings: bool = False
    eos_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.rms_norm_eps < 0:
            raise ConfigError(f"config.json: rms_norm_eps must not be negative, got {self.rms_norm_eps:g}")
        if not self.layer_types:
            raise ConfigError("config.json: the model has no layers")
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"config.json: {self.num_heads} query heads cannot share {self.num_kv_heads} kv heads evenly"
            )
        if self.head_dim % 2:
            raise ConfigError(f"config.json: head_dim must be even, got {self.head_dim}")
        if self.experts_per_token > self.num_experts:
            raise ConfigError(
                f"config.json: {self.experts_per_token} experts per token, but only {self.num_experts} experts"
            )

    @property
    def q_size(self) -> int:
        """All of a token's query heads."""
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """All of a token's keys, or of its values, in one layer."""
        return self.num_kv_heads * self.head_dim

    @property
    def qkv_size(self) -> int:
        """All of a token's queries, keys and values in one layer."""
        return self.q_size + 2 * self.kv_size

    @property
    def num_layers(self) -> int:
        return len(self.layer_types)

    @property
    def sliding_layers(self) -> tuple[int, ...]:
        return tuple(i for i, kind in enumerate(self.layer_types) if kind == "sliding_attention")

    @property
    def full_layers(self) -> tuple[int, ...]:
        return tuple(i for i, kind in enumerate(self.layer_types) if kind == "full_attention")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Faults on purpose, for tests: no flag sets them. Each is a token id, and strikes the step that runs this token.

    `raises`: the forward raises. `exhausts`: an allocation in it fails. `hangs`: it never returns. `delays`: it takes
    `delay_seconds` longer. `spoils`: what is computed for this token is NaN.
    """

    raises: int | None = None
    exhausts: int | None = None
    hangs: int | None = None
    delays: int | None = None
    delay_seconds: float = 0.0
    spoils: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What the operator chose. None leaves the choice to the memory plan when the engine starts.

    `model` is a local directory (a hub id is resolved before). `max_num_batched_tokens` bounds the tokens of one
    step; `max_waiting` bounds the requests that wait for a slot; `page_size` is in tokens. `kv_cache_dtype` is the
    caches' dtype: "auto" is `dtype`, "fp8" is float8_e4m3fn. `quantization` is the format that attention's matrices and
    the unembedding are rounded to on loading: "none" leaves them in `dtype`. `resident_experts` keeps a bfloat16 copy
    of MXFP4 experts on the GPU, which makes steps of many tokens faster. `enable_prefix_caching` reuses the computed
    prefixes of earlier prompts. `deterministic` makes log-probabilities independent, to the last bit, of batch, chunks
    and preemption. `enforce_eager` launches every kernel of a step on its own instead of capturing CUDA graphs.
    `run_ahead` launches each step before the last one's tokens are read: None means only on a GPU, where it pays.
    `poison_freed` fills freed cache slots with NaN, so that reading one shows at once, and `faults` makes steps fail
    (both for tests).
    """

    model: Path
    load_format: LoadFormat = "auto"
    dtype: Dtype = "bfloat16"
    kv_cache_dtype: KvCacheDtype = "auto"
    quantization: Quantization = "none"
    resident_experts: bool = False
    device: str = "auto"
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int = 2048
    max_waiting: int = 256
    page_size: int = 16
    gpu_memory_utilization: float = 0.9
    kv_cache_memory_bytes: int | None = None
    seed: int = 0
    enable_prefix_caching: bool = True
    deterministic: bool = False
    enforce_eager: bool = False
    run_ahead: bool | None = None
    poison_freed: bool = False
    faults: FaultPlan | None = None

    @property
    def kv_element_bytes(self) -> int:
        """Bytes of one number in the caches."""
        return FP8_BYTES if self.kv_cache_dtype == "fp8" else DTYPE_BYTES[self.dtype]

    def __post_init__(self) -> None:
        for flag, value in (
            ("--max-model-len", self.max_model_len),
            ("--max-num-seqs", self.max_num_seqs),
            ("--max-num-batched-tokens", self.max_num_batched_tokens),
            ("--block-size", self.page_size),
            ("--kv-cache-memory-bytes", self.kv_cache_memory_bytes),
        ):
            if value is not None and not 1 <= value <= MAX_INT64:
                raise ConfigError(f"{flag} must be in [1, 2^63), got {value}")
        if self.max_num_batched_tokens < (self.max_num_seqs or 1):
            raise ConfigError(
                f"--max-num-batched-tokens {self.max_num_batched_tokens} must be at least --max-num-seqs "
                f"{self.max_num_seqs}: every running request may decode in one step"
            )
        if not 0 <= self.max_waiting <= MAX_INT64:
            raise ConfigError(f"--max-waiting must be in [0, 2^63), got {self.max_waiting}")
        if not -MAX_INT64 <= self.seed <= MAX_INT64:
            raise ConfigError(f"--seed must be in (-2^63, 2^63), got {self.seed}")
        if not 0.0 < self.gpu_memory_utilization <= 1.0:
            raise ConfigError(f"--gpu-memory-utilization must be in (0, 1], got {self.gpu_memory_utilization}")
