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
    assert [batch.ring_reads(s).tolist() for s in range(2)] == [[4 + 2, 4 + 3, 4 + 0], [0, 1]]
    assert batch.ring_write_rows.tolist() == [0, 3, 4, 5, 6]
    assert batch.ring_write_slots.tolist() == [4 + 1, 0, 1, 2, 3]
    assert [batch.page_reads(s).tolist() for s in range(2)] == [[16, 17, 18, 19, 24], [12, 13]]
    assert batch.page_write_slots.tolist() == [25, 14, 15, 4, 5, 6, 7]
    assert batch.start_rows.tolist() == [0, 1, 7]
    assert batch.context_lengths.tolist() == [5, 2]
    assert batch.ring_slots.tolist() == [1, 0]
    assert batch.block_tables.tolist() == [[4, 6], [3, 1]]
    assert batch.decode_sequences.tolist() == [0]
    assert batch.prefill_tiles.tolist() == [[1, 0]]
    torch.testing.assert_close(batch.cos[0], torch.tensor([5.0, 5.0 / 10**0.5]).cos())


def test_what_kernels_read_is_aligned_and_padded() -> None:
    rotary = RotaryTable(RopeConfig(theta=10.0), 4, torch.device("cpu"))
    chunks = [
        Chunk(
            request_id=str(i),
            token_ids=tuple(range(i + 1)),
            start=4 * i,
            slot=i,
            pages=(9, 8, 7)[: i + 1],
            samples=True,
        )
        for i in range(3)
    ]
    batch = build_batch(chunks, window=2, page_size=4, rotary=rotary, device=torch.device("cpu"))
    assert batch.block_tables.tolist() == [[9, 0, 0], [9, 8, 0], [9, 8, 7]]
    assert batch.page_write_slots.tolist() == [36, 32, 33, 28, 29, 30]
    assert batch.ring_write_slots.tolist() == [0, 2, 3, 5, 4]
    for tensor in (batch.start_rows, batch.block_tables, batch.prefill_tiles, batch.ring_write_rows):
        assert tensor.dtype == torch.int32
        assert tensor.data_ptr() % 16 == batch.token_ids.data_ptr() % 16
