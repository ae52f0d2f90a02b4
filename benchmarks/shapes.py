"""The sizes to measure: the published model's, or tiny ones that prove the script itself without a GPU."""

from dataclasses import dataclass, replace

from engine.config import Dtype, ModelConfig, RopeConfig


@dataclass(frozen=True)
class Shapes:
    """The model and the batches of every section.

    `expert_counts` are those of the measured models; `checked_tokens` are compared with the reference, and `repeats`
    times with themselves; `expert_tokens`, `decode_batches` and `linear_tokens` are timed, in tokens or sequences of a
    step; `contexts` are tokens in the caches of a decoding sequence, `uneven_contexts` those of a batch, the longest
    first; `prefills` are (tokens in the caches, new tokens); `mixed_step` is a step of such pairs, compared with the
    reference; `model_context` and `model_prefill`, in tokens, are for the whole model's steps; the model is compared
    with the reference over `prompts`, in tokens, and `decoded` steps after them. `dtype` is float32 in Triton's
    interpreter, which cannot multiply bfloat16.
    """

    model: ModelConfig
    expert_counts: tuple[int, ...]
    checked_tokens: tuple[int, ...]
    expert_tokens: tuple[int, ...]
    decode_batches: tuple[int, ...]
    contexts: tuple[int, ...]
    uneven_contexts: tuple[int, ...]
    prefills: tuple[tuple[int, int], ...]
    linear_tokens: tuple[int, ...]
    mixed_step: tuple[tuple[int, int], ...]
    model_context: int
    model_prefill: int
    prompts: tuple[int, ...]
    decoded: int
    repeats: int
    dtype: Dtype = "bfloat16"
    page_size: int = 16


PUBLISHED = Shapes(
    model=ModelConfig(
        vocab_size=201_088,
        hidden_size=2880,
        intermediate_size=2880,
        num_heads=64,
        num_kv_heads=8,
        head_dim=64,
        num_experts=32,
        experts_per_token=4,
        window=128,
        layer_types=("sliding_attention", "full_attention") * 12,
        max_position=131_072,
        rope=RopeConfig(theta=150_000.0, factor=32.0),
    ),
    expert_counts=(32, 128),
    checked_tokens=(1, 4, 8, 128, 256, 1000),
    expert_tokens=(1, 8, 32, 128, 256, 8192),
    decode_batches=(1, 8, 32, 128, 256),
    contexts=(1024, 8192, 32_768, 131_072),
    uneven_contexts=(131_072, *[1024] * 31),
    prefills=((0, 8192), (24_576, 8192)),
    linear_tokens=(1, 2, 4, 8, 32, 128, 256),
    mixed_step=((300, 1), (0, 40), (5000, 1), (1000, 100), (17, 1)),
    model_context=1024,
    model_prefill=8192,
    prompts=(200, 1, 56),
    decoded=6,
    repeats=200,
)
TINY = Shapes(
    model=replace(
        PUBLISHED.model,
        vocab_size=96,
        hidden_size=64,
        intermediate_size=32,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        num_experts=4,
        experts_per_token=2,
        window=16,
        layer_types=("sliding_attention", "full_attention"),
        max_position=512,
    ),
    expert_counts=(4,),
    checked_tokens=(1, 9),
    expert_tokens=(1,),
    decode_batches=(1,),
    contexts=(20,),
    uneven_contexts=(40, 3),
    prefills=((4, 20),),
    linear_tokens=(1, 8),
    mixed_step=((20, 1), (3, 5)),
    model_context=20,
    model_prefill=18,
    prompts=(19, 1),
    decoded=1,
    repeats=1,
    dtype="float32",
)
CPU_MODEL = ModelConfig(
    vocab_size=32_768,
    hidden_size=1024,
    intermediate_size=1024,
    num_heads=16,
    num_kv_heads=4,
    head_dim=64,
    num_experts=32,
    experts_per_token=4,
    window=128,
    layer_types=("sliding_attention", "full_attention") * 6,
    max_position=131_072,
    rope=RopeConfig(theta=150_000.0, factor=32.0),
    eos_token_ids=(257,),
)
"""The model for CPUs: too large for any cache, small enough that every program finishes soon."""


def spread_tokens(sequence: int, count: int, vocab_size: int) -> tuple[int, ...]:
    """`count` tokens for a sequence, from all over the vocabulary."""
    return tuple((7919 * sequence + 31 * i) % vocab_size for i in range(count))
