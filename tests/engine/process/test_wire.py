"""Messages survive the pipe, however it cuts them."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import EngineConfig
from engine.process.wire import (
    LENGTH,
    Abort,
    EnginePipe,
    Events,
    Failed,
    FromEngine,
    Loading,
    Planned,
    Ready,
    Running,
    Start,
    ToEngine,
    decode_from_engine,
    frame,
    submits,
)
from engine.request import FinishReason, Request, SamplingParams, TokenEvent, TokenLogprob
from engine.streams import EngineInfo, EngineStats

INFO = EngineInfo(
    max_model_len=1,
    max_waiting=256,
    max_num_seqs=2,
    vocab_size=3,
    device="cpu",
    weights_bytes=2**40,
    kv_cache_bytes=7,
    kv_token_bytes=512,
    kv_ring_bytes=65536,
    page_size=16,
)
SAMPLING = SamplingParams(seed=2**64 - 1, logit_bias={5: -1.5}, stop=("\x00", "é🙂"), stop_token_ids=(1, 2))
TO_ENGINE: list[ToEngine] = [
    Start(EngineConfig(model=Path("/models/x"), max_model_len=100)),
    *submits([Request(id="a", prompt_token_ids=(1, 2, 3), sampling=SAMPLING, priority=-3)]),
    Abort("a"),
]
SCORED = (None, TokenLogprob(4, -0.1, ((4, -0.1), (5, -2.3))))
FROM_ENGINE: list[FromEngine] = [
    Loading("loading weights", 1, 2**40),
    Planned("plan\nlines"),
    Ready(INFO),
    Running(10240),
    Events(
        [
            TokenEvent(request_id="a", token_ids=(7,), logprobs=(SCORED[1],), prompt_logprobs=SCORED),  # type: ignore[arg-type]
            TokenEvent(request_id="b", finish_reason=FinishReason.STOP, stop_token_id=9),
            TokenEvent(request_id="c", finish_reason=FinishReason.ERROR, error="why"),
        ],
        EngineStats(running=3, pages_held=2**40, step_seconds=0.25, step_tokens=7),
    ),
    Failed("no"),
]


@given(cuts=st.lists(st.integers(1, 40), max_size=30))
def test_frames_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    here, there = socket.socketpair()
    with here, there:
        pipe = EnginePipe(there)
        data = b"".join(frame(message) for message in TO_ENGINE)
        received: list[ToEngine] = []
        for cut in cuts:
            here.sendall(data[:cut])
            data = data[cut:]
            received += pipe.receive(wait=False)
        here.sendall(data)
        while len(received) < len(TO_ENGINE):
            received += pipe.receive(wait=True)
        assert received == TO_ENGINE
        assert pipe.receive(wait=False) == []


@pytest.mark.parametrize("message", FROM_ENGINE, ids=lambda message: type(message).__name__)
def test_the_engines_messages_come_back_the_same(message: FromEngine) -> None:
    assert decode_from_engine(frame(message)[LENGTH.size :]) == message


def test_a_prompt_that_requests_share_is_sent_once() -> None:
    shared = tuple(range(1000))
    requests = [Request(id=f"{n}", prompt_token_ids=prompt) for n, prompt in enumerate([shared] * 16 + [(7, 8)])]
    messages = submits(requests)
    assert len(messages) == 2
    assert sum(len(frame(message)) for message in messages) < 2 * len(frame(messages[0]))
    assert len(frame(messages[0])) < 10_000
    assert [request for message in messages for request in message.requests] == requests


def test_the_other_side_gone_is_the_end() -> None:
    here, there = socket.socketpair()
    with there:
        here.close()
        with pytest.raises(EOFError):
            EnginePipe(there).receive(wait=True)
