import pytest

from benchmarks import determinism
from engine.checkpoint.hub import EMBEDDED
from engine.config import EngineConfig
from engine.engine import Engine
from engine.start import start_engine


def test_bits_agree_with_deterministic_ops() -> None:
    assert determinism.bits_agree("cpu")


def test_another_rounding_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunks are computed in float32, everything else in bfloat16."""
    start = determinism.start

    def mixed(device: str, *, deterministic: bool, max_num_batched_tokens: int = 2048) -> Engine:
        if max_num_batched_tokens == 2048:
            return start(device, deterministic=deterministic)
        return start_engine(EngineConfig(model=EMBEDDED, device=device, dtype="float32", max_num_seqs=16)).engine

    monkeypatch.setattr(determinism, "start", mixed)
    assert not determinism.bits_agree("cpu")
