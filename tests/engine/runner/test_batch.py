"""The flat batch of a step, worked out by hand."""

import torch

from engine.config import RopeConfig
from engine.model.rope import RotaryTable
from engine.plan import Chunk
from engine.runner.batch import build_batch


def test_a_decoding_sequence_beside_a_chunk() -> None:
    """A decodes at position 5 with ring 1 and pages 4, 6; B reads positions 2 to 7 with ring 0 and pages 3, 1."""
    rotary = RotaryTable(RopeConfig(theta=10.0), 4, torch.device("cpu"))
    a = Chunk(request_id="a", token_ids=(50,), start=5, slot=1, pages=(4, 6), samples=True)
    b = Chunk(request_id="b", token_ids=(62, 63, 64, 65, 66, 67), start=2, slot=0, pages=(3, 1), samples=False)
    batch = build_batch([a, b], window=4, page_size=4, rotary=rotary, device=torch.device("cpu"))
    assert batch.token_ids.tolist() == [50, 62, 63, 64, 65, 66, 67]
    assert batch.positions.tolist() == [5, 2, 3, 4, 5, 6, 7]
    assert batch.starts == (0, 1, 7)
    assert batch.contexts == (5, 2)
    assert [reads.tolist() for reads in batch.ring_reads] == [[4 + 2, 4 + 3, 4 + 0], [0, 1]]
    assert batch.ring_write_rows.tolist() == [0, 3, 4, 5, 6]
    assert batch.ring_write_slots.tolist() == [4 + 1, 0, 1, 2, 3]
    assert [reads.tolist() for reads in batch.page_reads] == [[16, 17, 18, 19, 24], [12, 13]]
    assert batch.page_write_slots.tolist() == [25, 14, 15, 4, 5, 6, 7]
    torch.testing.assert_close(batch.cos[0], torch.tensor([5.0, 5.0 / 10**0.5]).cos())
