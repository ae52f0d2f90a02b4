"""The floor of decode: the numbers of the published models, and that nothing is counted twice or forgotten."""

from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.floors import DecodeFloor
from engine.memory_sizes import kv_sizes, weight_sizes, weights_bytes
from tests.checkpoints import small_config
from tests.engine.test_memory_plan import GPT_OSS_20B, GPT_OSS_120B

BFLOAT16 = EngineConfig(model=Path())
FP8_WEIGHTS = EngineConfig(model=Path(), quantization="fp8")
FP8_CACHE = EngineConfig(model=Path(), kv_cache_dtype="fp8")


def test_the_docstrings_example() -> None:
    sizes = weight_sizes(GPT_OSS_20B, "bfloat16", "mxfp4")
    assert sizes.layer == pytest.approx(53.3e6, rel=1e-3)
    assert sizes.expert == pytest.approx(13.24e6, rel=1e-3)
    assert sizes.unembedding == pytest.approx(1158e6, rel=1e-3)
    assert DecodeFloor(GPT_OSS_20B, BFLOAT16, "mxfp4").step_bytes(1, 1024) == pytest.approx(3.74e9, rel=1e-3)
    assert DecodeFloor(GPT_OSS_20B, FP8_WEIGHTS, "mxfp4").step_bytes(1, 1024) == pytest.approx(2.52e9, rel=1e-3)


@pytest.mark.parametrize(
    ("model", "batch", "length", "speed"),
    [
        (GPT_OSS_20B, 1, 1024, 1151),
        (GPT_OSS_20B, 1, 8192, 1099),
        (GPT_OSS_20B, 256, 1024, 55455),
        (GPT_OSS_20B, 256, 8192, 16949),
        (GPT_OSS_120B, 1, 1024, 852),
        (GPT_OSS_120B, 32, 1024, 3173),
    ],
)
def test_published_models_at_4_3_terabytes_a_second(model: object, batch: int, length: int, speed: float) -> None:
    """Worked out once by hand, from the sizes of the docstring's example."""
    assert DecodeFloor(model, BFLOAT16, "mxfp4").tokens_per_second(batch, length, 4.3e12) == pytest.approx(
        speed, rel=2e-3
    )


def test_a_large_batch_reads_all_but_the_embedding() -> None:
    model = small_config()
    floor = DecodeFloor(model, BFLOAT16, "dense")
    keys_and_values = floor.step_bytes(2, 8) - floor.step_bytes(2, 0)
    assert keys_and_values == 2 * (kv_sizes(model, 2).token * 8 + kv_sizes(model, 2).rings)
    sizes = weight_sizes(model, "bfloat16", "dense")
    assert floor.step_bytes(1000, 0) == pytest.approx(weights_bytes(model, "bfloat16", "dense") - sizes.rest)


def test_rings_are_read_as_far_as_they_are_filled() -> None:
    floor, half = (DecodeFloor(GPT_OSS_20B, engine, "mxfp4") for engine in (BFLOAT16, FP8_CACHE))
    grown = floor.step_bytes(1, 64) - floor.step_bytes(1, 0)
    assert grown == 64 * 48 * 1024
    assert floor.step_bytes(1, 192) - floor.step_bytes(1, 128) == grown / 2
    assert half.step_bytes(1, 64) - half.step_bytes(1, 0) == grown / 2
