"""The loop of the engine's process: messages are heard between any two steps."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import NoReturn

import pytest

from engine.checkpoint.hub import EMBEDDED
from engine.config import EngineConfig
from engine.grammar import GrammarCompiler, GrammarState
from engine.process import worker
from engine.process.wire import Abort, Events, Running, Start, ToEngine, submits
from engine.process.worker import serve
from engine.request import FinishReason, Request, SamplingParams
from tests.checkpoints import small_config, write_checkpoint
from tests.engines import assert_nothing_held, build_engine

SLOW = 'start: "yes"'


class ScriptedPipe:
    """Hands out one batch of messages a turn, and hangs up at the end, when nothing is left to do."""

    def __init__(self, turns: list[list[ToEngine]]) -> None:
        self.turns = turns
        self.sent: list[object] = []

    def receive(self, *, wait: bool) -> list[ToEngine]:
        if self.turns:
            return self.turns.pop(0)
        if wait:
            raise EOFError
        return []

    def send(self, message: object) -> None:
        self.sent.append(message)


def request(name: str, **params: object) -> Request:
    sampling = SamplingParams(**{"max_tokens": 50, "ignore_eos": True, **params})  # type: ignore[arg-type]
    return Request(id=name, prompt_token_ids=(1, 2, 3), sampling=sampling)


def served(tmp_path: Path, turns: list[list[ToEngine]]) -> list[list[str]]:
    """Which requests had events, step by step (without steps that brought none); afterwards nothing is held."""
    engine = build_engine(write_checkpoint(tmp_path, small_config()))
    pipe = ScriptedPipe(turns)
    with pytest.raises(EOFError):
        serve(engine, pipe)  # type: ignore[arg-type]
    assert engine.idle
    assert_nothing_held(engine)
    return [[event.request_id for event in m.events] for m in pipe.sent if isinstance(m, Events) and m.events]


def test_the_quota_is_kept_to_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def start(*_: object) -> NoReturn:
        done.append("start")
        raise EOFError

    monkeypatch.setattr(worker, "keep_to_quota", lambda: done.append("quota"))
    monkeypatch.setattr(worker, "start_engine", start)
    with pytest.raises(EOFError):
        worker.load(ScriptedPipe([]), Start(EngineConfig(model=EMBEDDED)))  # type: ignore[arg-type]
    assert done == ["quota", "start"]


def test_an_abort_takes_effect_before_the_next_step(tmp_path: Path) -> None:
    turns: list[list[ToEngine]] = [[*submits([request("a"), request("b")])], [], [Abort("a")], [], [Abort("b")]]
    assert served(tmp_path, turns) == [["a", "b"], ["a", "b"], ["b"], ["b"]]


def test_a_request_the_engine_refuses_ends_alone(tmp_path: Path) -> None:
    bad = request("bad", stop_token_ids=(9999,))
    assert served(tmp_path, [[*submits([request("a"), bad])], [Abort("a")]]) == [["bad"], ["a"]]


def test_a_long_step_is_told_of_before_it_begins(tmp_path: Path) -> None:
    """And no other: 600 tokens of the prompt are more than 512, the 200 that are left are not."""
    engine = build_engine(write_checkpoint(tmp_path, small_config()), max_num_batched_tokens=600, max_model_len=1000)
    long = Request(id="long", prompt_token_ids=(1,) * 800, sampling=SamplingParams(max_tokens=3, ignore_eos=True))
    pipe = ScriptedPipe([[*submits([long])]])
    with pytest.raises(EOFError):
        serve(engine, pipe)  # type: ignore[arg-type]
    assert pipe.sent[0] == Running(610)
    assert [type(message) for message in pipe.sent[1:]] == [Events] * (len(pipe.sent) - 1)


def test_a_refusal_says_why(tmp_path: Path) -> None:
    engine = build_engine(write_checkpoint(tmp_path, small_config()))
    pipe = ScriptedPipe([[*submits([request("bad", stop_token_ids=(9999,))])]])
    with pytest.raises(EOFError):
        serve(engine, pipe)  # type: ignore[arg-type]
    message = pipe.sent[0]
    assert isinstance(message, Events)
    assert message.events[0].finish_reason is FinishReason.ERROR
    assert "9999" in (message.events[0].error or "")


def test_a_request_that_breaks_the_engine_as_it_is_added_ends_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the error says stays inside: it might quote the request."""
    engine = build_engine(write_checkpoint(tmp_path, small_config()))

    def fail(grammar: str) -> NoReturn:
        raise ZeroDivisionError(grammar)

    monkeypatch.setattr(engine.grammars, "compile", fail)
    pipe = ScriptedPipe([[*submits([request("bad", grammar="secret"), request("good", max_tokens=1)])]])
    with pytest.raises(EOFError):
        serve(engine, pipe)  # type: ignore[arg-type]
    (refused, ended) = [message.events for message in pipe.sent if isinstance(message, Events) and message.events]
    assert (refused[0].request_id, refused[0].error) == ("bad", "it could not be taken (ZeroDivisionError)")
    assert (ended[0].request_id, ended[0].finish_reason) == ("good", FinishReason.LENGTH)
    assert_nothing_held(engine)


class Grammars(GrammarCompiler):
    """Compiles a slow grammar only once `go_on` is set."""

    def __init__(self, grammars: GrammarCompiler) -> None:
        self._real = grammars
        self.go_on = Event()

    def compile(self, grammar: str) -> GrammarState:
        if grammar == SLOW and not self.go_on.wait(60):
            raise TimeoutError
        return self._real.compile(grammar)


class ObservedPipe(ScriptedPipe):
    """Calls `on_end` with each request that ends."""

    def __init__(self, turns: list[list[ToEngine]], on_end: Callable[[str], None]) -> None:
        super().__init__(turns)
        self.on_end = on_end

    def send(self, message: object) -> None:
        super().send(message)
        assert isinstance(message, Events)
        for event in message.events:
            if event.finish_reason is not None:
                self.on_end(event.request_id)


@pytest.mark.parametrize("aborted", [False, True])
def test_a_grammar_that_takes_long_delays_its_own_request_only(aborted: bool) -> None:
    engine = build_engine(EMBEDDED)
    engine.grammars = grammars = Grammars(engine.grammars)
    ended: list[str] = []

    def end(name: str) -> None:
        ended.append(name)
        if name == "free":
            grammars.go_on.set()

    slow, free = request("slow", grammar=SLOW), request("free", max_tokens=5)
    turns: list[list[ToEngine]] = [[*submits([slow, free])], *([[Abort("slow")]] if aborted else [])]
    pipe = ObservedPipe(turns, end)
    with pytest.raises(EOFError):
        serve(engine, pipe)  # type: ignore[arg-type]
    assert ended == (["free"] if aborted else ["free", "slow"])
    stats = [message.stats for message in pipe.sent if isinstance(message, Events)]
    assert stats[0].waiting == 1, "what is compiled waits"
    assert stats[-1].waiting == 0
    assert_nothing_held(engine)
