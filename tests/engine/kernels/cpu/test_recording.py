"""A recorded step of decoding is the step op by op, to the last bit."""

import gc
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from engine.kernels.arena import BLOCK_BYTES, Arena
from engine.kernels.cpu.build import find_compiler
from engine.kernels.cpu.library import Library
from engine.kernels.cpu.recording import CannotRecordError, Recorder
from engine.request import TokenEvent
from tests.checkpoints import passing_directory, write_checkpoint
from tests.engine.test_equality import CONFIG, requests
from tests.engines import build_engine, run, tokens

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler: here the ops run as plain torch")


@cache
def checkpoint(head_dim: int, experts: str) -> Path:
    directory = passing_directory("recording")
    write_checkpoint(directory, replace(CONFIG, head_dim=head_dim), seed=5, experts=experts)
    return directory


def told(events: dict[str, list[TokenEvent]]) -> dict[str, Any]:
    """All that clients are told, numbers included."""
    return {
        name: (tokens(its), its[-1].finish_reason, [entry.logprob for event in its for entry in event.logprobs])
        for name, its in events.items()
    }


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each replay made."""
    counted: list[int] = []
    replay = Library.replay
    monkeypatch.setattr(Library, "replay", lambda self, calls: (counted.append(len(calls)), replay(self, calls))[1])
    return counted


@needs_compiler
@pytest.mark.parametrize(("experts", "quantization"), [("mxfp4", "none"), ("dense", "fp8")])
def test_recorded_is_op_by_op(
    experts: str, quantization: str, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of up to twelve sequences: more than eight are not recorded here."""
    monkeypatch.setattr("engine.buckets.MOST_RECORDED", 8)
    options = {"dtype": "bfloat16", "quantization": quantization, "max_num_seqs": 12, "page_size": 4}
    plain = build_engine(checkpoint(32, experts), enforce_eager=True, **options)
    assert plain.runner.graphs is None
    expected = told(run(plain, requests()))
    assert not replays
    engine = build_engine(checkpoint(32, experts), **options)
    assert engine.runner.graphs is not None
    assert engine.runner.graphs.most == 8
    assert told(run(engine, requests())) == expected
    assert len(replays) > 10
    assert set(replays) == {2 + 5 * CONFIG.num_layers + 3}


@needs_compiler
def test_a_step_that_torch_has_a_part_in_is_not_recorded(caplog: pytest.LogCaptureFixture, replays: list[int]) -> None:
    """Heads of 16 are not for the C++ ops."""
    with caplog.at_level(logging.WARNING):
        engine = build_engine(checkpoint(16, "mxfp4"), dtype="bfloat16")
    assert "each op of a step is called from Python" in caplog.text
    assert engine.runner.graphs is None
    assert run(engine, requests(3))
    assert not replays


def test_recorded_calls_keep_their_tensors(library: Library) -> None:
    ids, out = torch.zeros(1, dtype=torch.int32), torch.empty(1, 32)
    table = torch.arange(64.0).bfloat16().view(2, 32)

    def step() -> None:
        x = torch.empty(1, 32, dtype=torch.bfloat16)
        library.embed(ids, table, x, 1, 32)
        library.widen(x, out, 32)

    out.fill_(-1)
    replay = Recorder(library)(step)
    assert (out == -1).all()
    replay()
    assert out.tolist() == [list(range(32))]
    gc.collect()
    others = [torch.full((1, 32), 7.0).bfloat16() for _ in range(100)]
    ids[0] = 1
    replay()
    assert out.tolist() == [list(range(32, 64))]
    assert library.written.calls is None
    assert all((other == 7).all() for other in others)


def test_memory_that_there_is_not_for_what_an_op_makes_on_the_way(library: Library) -> None:
    """At once or recorded: it is an error in Python, and the next call is computed."""
    x, out = torch.ones(1, 64).bfloat16(), torch.empty(1, 1).bfloat16()

    def step(tokens: int) -> None:
        library.linear_bf16(x, None, 0.0, x, None, None, out, tokens, 1, 64)

    for too_large in (partial(step, 2**45), Recorder(library)(partial(step, 2**45))):
        with pytest.raises(MemoryError):
            too_large()
    step(1)
    assert out.item() == 64


def test_steps_share_what_they_make_on_the_way(library: Library) -> None:
    table = torch.arange(64.0 * 4096).bfloat16().view(64, 4096)
    outs = {rows: torch.zeros(rows, 4096) for rows in (64, 3, 1)}
    ids = torch.arange(64, dtype=torch.int32)

    def step(rows: int) -> None:
        x = torch.empty(rows, 4096, dtype=torch.bfloat16)
        library.embed(ids, table, x, rows, 4096)
        library.widen(x, outs[rows], rows * 4096)

    recorder = Recorder(library)
    replays = {rows: recorder(partial(step, rows)) for rows in outs}
    assert recorder.arena.nbytes == BLOCK_BYTES
    for rows in (1, 64, 3, 64):
        outs[rows].zero_()
        replays[rows]()
        assert torch.equal(outs[rows], table[:rows].float())


def test_an_arena_gives_each_tensor_memory_of_its_own() -> None:
    arena = Arena()
    shapes = [torch.empty(3, 5), torch.empty(BLOCK_BYTES + 1, dtype=torch.uint8), torch.empty(2, dtype=torch.int64)] * 2
    given = [arena.like(shape) for shape in shapes]
    for number, tensor in enumerate(given):
        tensor.fill_(number)
    assert all((tensor == number).all() for number, tensor in enumerate(given))
    assert all(tensor.data_ptr() % 64 == 0 for tensor in given)
    assert [(t.shape, t.dtype, t.is_contiguous()) for t in given] == [(s.shape, s.dtype, True) for s in shapes]
    size = arena.nbytes
    arena.reset()
    assert [arena.like(shape).data_ptr() for shape in shapes] == [tensor.data_ptr() for tensor in given]
    assert arena.nbytes == size


@pytest.mark.parametrize("compute", [lambda x: x + 1, lambda x: x.zero_(), lambda x: x.t().flatten()])
def test_nothing_is_left_out(library: Library, compute: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.ones(4, 8)
    with pytest.raises(CannotRecordError, match="is no C\\+\\+ op"):
        Recorder(library)(partial(compute, x))
    assert library.written.calls is None
    Recorder(library)(lambda: x.view(8, 4)[1:].flatten())


def test_what_another_thread_asks_for_meanwhile_is_done(library: Library) -> None:
    """Two engines of one process have one library."""
    ids, table, out = torch.zeros(1, dtype=torch.int32), torch.ones(2, 32).bfloat16(), torch.zeros(1, 32).bfloat16()

    def step() -> None:
        other = Thread(target=library.embed, args=(ids, table, out, 1, 32))
        other.start()
        other.join()

    replay = Recorder(library)(step)
    assert (out == 1).all()
    out.zero_()
    replay()
    assert (out == 0).all()


def test_recording_imports_no_compiler() -> None:
    """torch's takes a second and many megabytes."""
    code = """
import sys
import torch
from engine.kernels.arena import Arena
from engine.kernels.cpu.recording import NothingOfTorch
with NothingOfTorch(Arena()):
    torch.empty(2).view(1, 2)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
