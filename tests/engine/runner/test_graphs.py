"""Captured decoding is eager decoding, token for token; the graphs are recorded ones, which run on the CPU.

A recorded graph is the captured step itself, run again on the tensors that it was captured with: what a step reads that
is not in these tensors would be stale, as it is in a CUDA graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
import torch
from torch import Tensor

from engine import start
from engine.engine import Engine
from engine.kernels.paged_attention import paged_attention
from engine.kernels.ragged import RaggedBatch
from engine.kernels.ring_attention import ring_attention
from engine.kernels.router import NO_EXPERT
from engine.kernels.table import REFERENCE, Ops, triton_ops
from engine.kernels.triton import paged_attention as kernels
from engine.plan import COMING, Chunk
from engine.request import Request, SamplingParams
from engine.runner.batch import build_batch
from engine.runner.graphs import CudaCapture, DecodeInputs
from engine.sampling.rows import Coming
from engine.streams import COMPILING
from tests.checkpoints import write_checkpoint
from tests.engine.test_equality import CONFIG, assert_same, checkpoint, requests, undisturbed
from tests.engines import assert_nothing_held, build_engine, run, shrink, tokens


class Recorder:
    """Stands in the place of CUDA's capture."""

    def __init__(self, warms: bool) -> None:
        self.warms = warms
        self.captured = 0
        self.replayed: list[int] = []

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        number, self.captured = self.captured, self.captured + 1
        if self.warms:
            step()

        def replay() -> None:
            self.replayed.append(number)
            step()

        return replay


def passing_over(attention: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
    """The reference over the live sequences of a captured batch, from its tensors alone; other rows come out as NaN."""
    *operands, batch = rest
    if batch.contexts:
        return attention(q, k, v, *rest)
    out = torch.full_like(q, torch.nan)
    live = batch.decode_sequences[batch.decode_sequences >= 0].long()
    if len(live):
        out[live] = attention(q[live], k[live], v[live], *operands, live_batch(batch, live))
    return out


def live_batch(batch: RaggedBatch, live: Tensor) -> RaggedBatch:
    chunks = []
    for s in live.tolist():
        context = int(batch.context_lengths[s])
        pages = batch.block_tables[s, : context // batch.page_size + 1]
        chunks.append(
            Chunk("", (int(batch.token_ids[s]),), context, int(batch.ring_slots[s]), tuple(pages.tolist()), True)
        )
    rotary = lambda positions: (batch.cos[live], batch.sin[live])  # noqa: E731
    return build_batch(chunks, CONFIG.window, batch.page_size, rotary, torch.device("cpu"))  # type: ignore[arg-type]


CAPTURABLE = replace(
    REFERENCE,
    ring_attention=partial(passing_over, ring_attention),
    paged_attention=partial(passing_over, paged_attention),
    prepare_experts=lambda product: product,
)


@pytest.fixture
def capturing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Engine, Recorder]]:
    """Builds engines whose decoding is captured, by the way that a GPU's are."""
    undisturbed()  # By engines that were not.

    def build(
        ops: Ops = CAPTURABLE, *, directory: Path | None = None, warms: bool = True, **overrides: Any
    ) -> tuple[Engine, Recorder]:
        recorder = Recorder(warms)
        monkeypatch.setattr(start, "select_ops", lambda *args, **kwargs: ops)
        monkeypatch.setattr(start, "CudaCapture", lambda device: recorder)
        return build_engine(directory or checkpoint(), **overrides), recorder

    return build


Build = Callable[..., tuple[Engine, Recorder]]


@pytest.mark.parametrize("ahead", [False, True], ids=["in step", "ahead"])
@pytest.mark.parametrize(("slots", "budget"), [(16, 16), (16, 2048), (5, 40), (1, 9)])
def test_captured_is_eager(capturing: Build, slots: int, budget: int, ahead: bool) -> None:
    engine, recorder = capturing(max_num_seqs=slots, max_num_batched_tokens=budget, run_ahead=ahead)
    assert_same(run(engine, requests()))
    assert recorder.captured == {16: 5, 5: 4, 1: 1}[slots]
    assert len(set(recorder.replayed)) >= min(recorder.captured, 3)
    assert len(recorder.replayed) > 20
    assert all_poison(engine)


@pytest.mark.parametrize("ahead", [False, True], ids=["in step", "ahead"])
def test_captured_and_preempted_is_undisturbed(capturing: Build, ahead: bool) -> None:
    engine, recorder = capturing(
        max_num_seqs=16, max_num_batched_tokens=40, page_size=4, max_model_len=96, run_ahead=ahead
    )
    shrink(engine, 24)
    assert_same(run(engine, requests()))
    assert engine.scheduler.preemptions >= 5
    assert recorder.replayed
    assert all_poison(engine)


@pytest.mark.parametrize("ahead", [False, True], ids=["in step", "ahead"])
def test_captured_among_requests_that_come_and_go(capturing: Build, ahead: bool) -> None:
    engine, recorder = capturing(max_num_seqs=7, max_num_batched_tokens=20, page_size=3, run_ahead=ahead)
    generator = torch.Generator().manual_seed(9)
    queue, events = requests(), {request.id: [] for request in requests()}
    ghosts: list[str] = []
    while queue or not engine.idle:
        dice = int(torch.randint(4, (), generator=generator))
        if queue and dice == 0:
            request = queue.pop(0)
            ghosts.append(f"ghost-{request.id}")
            engine.add(request)
            engine.add(replace(request, id=ghosts[-1], prompt_token_ids=request.prompt_token_ids[::-1]))
        if ghosts and dice == 1:
            engine.abort(ghosts.pop(0))
        for event in engine.step():
            if event.request_id in events:
                events[event.request_id].append(event)
    assert_same(events)
    assert_nothing_held(engine)
    assert len(set(recorder.replayed)) >= 4
    assert all_poison(engine)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_kernels_themselves_pass_over_padding(
    capturing: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Three sequences in a graph of four, through Triton's interpreter; the fourth's rows are whatever memory held."""
    monkeypatch.setattr(kernels, "DECODE_PROGRAMS", 4)
    asked = [
        Request(
            id=f"{i}", prompt_token_ids=(7 + i,) * (9 * i + 1), sampling=SamplingParams(temperature=0, max_tokens=2)
        )
        for i in range(3)
    ]
    write_checkpoint(tmp_path, replace(CONFIG, layer_types=CONFIG.layer_types[:2], num_experts=2))
    plain = run(build_engine(tmp_path), asked)
    ops, chosen = triton_ops((9, 0)), list[Tensor]()

    def mix_experts(x: Tensor, experts: Tensor, *rest: Any) -> Tensor:
        chosen.append(experts)
        return ops.mix_experts(x, experts, *rest)

    noting = replace(ops, mix_experts=mix_experts)
    engine, recorder = capturing(noting, directory=tmp_path, warms=False, max_model_len=64)
    got = run(engine, asked)
    assert {name: tokens(events) for name, events in got.items()} == {
        name: tokens(events) for name, events in plain.items()
    }
    assert recorder.replayed == [0]
    assert all_poison(engine)
    of_the_graph = [experts for experts in chosen if len(experts) == 4]
    assert len(of_the_graph) == 2
    for experts in of_the_graph:
        assert (experts[:3] >= 0).all()
        assert (experts[3:] == NO_EXPERT).all()


def all_poison(engine: Engine) -> bool:
    """Whether nothing stands in the caches, where freed places are poisoned and nothing else was written."""
    caches = engine.runner.rings, engine.runner.pages
    return all(bool(tensor.isnan().all()) for held in caches for tensor in (held.keys, held.values))


def test_a_request_may_get_the_pages_of_the_one_before(capturing: Build) -> None:
    engine, recorder = capturing(max_num_seqs=1, page_size=512)
    for number in range(2):
        again = [replace(request, id=f"{number}{request.id}") for request in requests(2)]
        events = {name[1:]: its for name, its in run(engine, again).items()}
        assert_same(events)
    assert recorder.replayed


def test_prompts_and_scored_tokens_run_eagerly(capturing: Build) -> None:
    engine, recorder = capturing()
    scored = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
    run(engine, [Request(id="a", prompt_token_ids=(5, 6, 7), sampling=scored)])
    assert recorder.captured == 3
    assert not recorder.replayed


def test_what_is_captured_is_told_as_it_goes_and_can_be_left_out(
    capturing: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, int]] = []
    starting = start.start_engine
    monkeypatch.setattr("tests.engines.start_engine", lambda config: starting(config, lambda *now: told.append(now)))
    engine, recorder = capturing(max_num_seqs=9)
    assert [told[0][0], told[1][0]] == ["preparing the kernels", "loading weights"]
    assert told[-6:] == [("capturing CUDA graphs", done, 5) for done in range(6)]
    told.clear()
    monkeypatch.setattr(start, "compiles_first", lambda device, dtype: True)
    engine, recorder = capturing(max_num_seqs=9, enforce_eager=True)
    assert told[0][0] == COMPILING
    assert engine.runner.graphs is None
    assert recorder.captured == 0


def test_ops_that_need_the_host_are_not_captured(capturing: Build) -> None:
    triton = triton_ops((9, 0))
    assert triton.capturable
    for ops in (
        REFERENCE,
        replace(triton, paged_attention=paged_attention),
        replace(triton, ring_attention=ring_attention),
        replace(triton, mix_experts=REFERENCE.mix_experts, prepare_experts=REFERENCE.prepare_experts),
    ):
        assert not ops.capturable
    engine, _ = capturing(REFERENCE)
    assert engine.runner.graphs is None


class OnAGpu(torch.Tensor):
    """A tensor in a memory of its own, which is copied to as a GPU's is."""

    is_cuda = True


def test_what_pads_a_step_is_a_token_after_steps_whose_tokens_were_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    inputs = DecodeInputs(8, 4, 16, torch.device("cpu"))
    inputs._numbers = inputs._numbers.clone().as_subclass(OnAGpu)  # type: ignore[assignment]
    rotary = lambda positions: (positions, positions)  # noqa: E731
    batch = inputs.batch(8, rotary, padded=True)  # type: ignore[arg-type]

    def fill(token_ids: Sequence[int], coming: Sequence[int]) -> list[int]:
        chunks = [Chunk(str(i), (token,), 5, i, (i,), True) for i, token in enumerate(token_ids)]
        inputs.fill(chunks, Coming(list(range(len(coming))), torch.tensor(coming)), [], None)
        return batch.token_ids.tolist()

    assert fill([COMING] * 7 + [42], range(100, 107)) == [*range(100, 107), 42]
    after = fill([COMING] * 5, range(200, 205))
    assert after[:5] == [*range(200, 205)]
    assert min(after) >= 0


def test_all_graphs_are_warmed_and_captured_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, steps = MagicMock(), Mock()
    cuda.Stream.side_effect = lambda *args: Mock()
    monkeypatch.setattr(torch, "cuda", cuda)
    capture = CudaCapture(torch.device("cuda", 1))
    replays = [capture(steps) for _ in range(3)]
    assert steps.call_count == 6
    assert len(replays) == cuda.CUDAGraph.call_count == 3
    cuda.Stream.assert_called_once()
    (stream,) = {id(call.args[0]) for call in cuda.stream.call_args_list}
    assert {id(call.kwargs["stream"]) for call in cuda.graph.call_args_list} == {stream}


@pytest.mark.parametrize("ending", [None, RuntimeError("operation failed due to a previous error during capture")])
def test_why_a_capture_failed_is_told_and_not_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, ending: Exception | None
) -> None:
    cuda = MagicMock()
    cuda.graph.return_value.__exit__ = Mock(return_value=None, side_effect=ending)
    monkeypatch.setattr(torch, "cuda", cuda)
    step = Mock(side_effect=[None, ValueError("out of resources")])
    with pytest.raises(ValueError, match="out of resources"):
        CudaCapture(torch.device("cuda", 1))(step)


def test_how_a_capture_ended_is_told_of_a_step_that_did_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = MagicMock()
    cuda.graph.return_value.__exit__ = Mock(side_effect=RuntimeError("out of memory"))
    monkeypatch.setattr(torch, "cuda", cuda)
    with pytest.raises(RuntimeError, match="out of memory"):
        CudaCapture(torch.device("cuda", 1))(Mock())
