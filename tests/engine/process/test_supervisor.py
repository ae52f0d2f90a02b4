"""The engine in its own process: the same tokens through the pipe, and its death is noticed."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import psutil
import pytest

from engine.config import EngineConfig, ModelConfig, RopeConfig
from engine.errors import ConfigError, EngineNotReadyError, GenerationError, QueueFullError, RequestError
from engine.process import child
from engine.process.child import Child
from engine.process.pace import Pace
from engine.process.supervision import Supervision
from engine.process.supervisor import EngineProcess
from engine.process.wire import Events, Ready, Running
from engine.request import Request, SamplingParams, TokenEvent
from engine.streams import EngineStats, EngineStatus, EventStream
from tests.checkpoints import write_checkpoint
from tests.engine.process.test_wire import INFO
from tests.engines import TEST_CONFIG, build_engine, run, tokens

MODEL = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=32,
    num_heads=2,
    num_kv_heads=1,
    head_dim=16,
    num_experts=4,
    experts_per_token=2,
    window=8,
    layer_types=("sliding_attention", "full_attention"),
    max_position=4096,
    rope=RopeConfig(theta=10000.0),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(path, MODEL, seed=1)
    return path


@pytest.fixture
def config(directory: Path) -> EngineConfig:
    return replace(TEST_CONFIG, model=directory, max_num_seqs=2, max_waiting=2, max_model_len=4096)


@pytest.fixture
async def engine(config: EngineConfig) -> AsyncIterator[EngineProcess]:
    process = EngineProcess(config)
    await process.start()
    await ready(process)
    yield process
    await process.stop()


async def ready(process: EngineProcess) -> None:
    async with asyncio.timeout(60):
        while process.status.phase == "loading":
            await asyncio.sleep(0.01)
    assert process.status.phase == "ready", process.status


async def collect(stream: EventStream) -> dict[str, list[TokenEvent]]:
    events: dict[str, list[TokenEvent]] = {}
    async with stream, asyncio.timeout(60):
        async for event in stream:
            events.setdefault(event.request_id, []).append(event)
    return events


def request(name: str, max_tokens: int = 20, prompt: int = 10) -> Request:
    sampling = SamplingParams(max_tokens=max_tokens, seed=7, logprobs=2, prompt_logprobs=1, logit_bias={5: 1.5})
    return Request(id=name, prompt_token_ids=tuple(range(1, prompt + 1)), sampling=sampling)


async def test_the_same_tokens_as_in_this_process(engine: EngineProcess, directory: Path) -> None:
    again = replace(request("again"), prompt_token_ids=(first := request("a")).prompt_token_ids)
    requests = [first, again, request("b", prompt=17)]
    through_the_pipe = await collect(engine.submit(requests))
    here = run(build_engine(directory, max_num_seqs=2, max_model_len=4096), requests)
    assert {name: tokens(events) for name, events in through_the_pipe.items()} == {
        name: tokens(events) for name, events in here.items()
    }
    assert through_the_pipe["a"][0].prompt_logprobs == here["a"][0].prompt_logprobs
    assert through_the_pipe["a"][-1].finish_reason == here["a"][-1].finish_reason
    assert engine.in_flight == 0


async def test_each_step_is_told_of(engine: EngineProcess) -> None:
    steps: list[EngineStats] = []
    engine.on_step(steps.append)
    await collect(engine.submit([request("a"), request("b", prompt=17)]))
    async with asyncio.timeout(60):
        while engine.stats.running:
            await asyncio.sleep(0.01)
    assert sum(step.step_tokens for step in steps) == 10 + 17 + 2 * 19, "the last token of each is not run"
    assert max(step.running for step in steps) == 2
    assert max(step.pages_held for step in steps) == 2 * math.ceil(36 / engine.config.page_size) - 1
    assert all(step.step_seconds > 0 for step in steps if step.step_tokens)
    last = engine.stats
    assert (last.waiting, last.pages_held, last.slots_held) == (0, 0, 0)
    assert last.pages_total > 0
    assert last.slots_total == 2


async def test_leaving_the_stream_frees_the_request(engine: EngineProcess) -> None:
    async with engine.submit([request("long", max_tokens=4000)]) as stream:
        async for _ in stream:
            break
    assert engine.in_flight == 0
    assert len(tokens((await collect(engine.submit([request("next")])))["next"])) == 20


async def test_one_of_a_group_can_end_early(engine: EngineProcess) -> None:
    seen: list[str] = []
    async with engine.submit([request("a", max_tokens=4000), request("b", max_tokens=30)]) as stream:
        async for event in stream:
            seen.append(event.request_id)
            if seen.count("a") == 3:
                stream.abort("a")
    assert (seen.count("a"), seen.count("b")) == (3, 30)


async def test_how_long_to_wait_is_known_from_what_has_ended(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that is 10 s further whenever it is asked, every request takes 10 s, whether it ends or is left."""
    assert engine.retry_seconds == 1
    monkeypatch.setattr(engine, "_pace", Pace(map(float, count(0, 10)).__next__))
    await collect(engine.submit([request("a")]))
    assert engine.retry_seconds == 5
    monkeypatch.setattr(engine, "_pace", Pace(map(float, count(0, 10)).__next__))
    async with engine.submit([request("b", max_tokens=4000)]) as stream:
        async for _ in stream:
            break
    assert engine.retry_seconds == 5


async def test_a_full_queue_takes_all_or_nothing(engine: EngineProcess) -> None:
    with engine_requests(engine, 3) as streams:
        with pytest.raises(QueueFullError, match="3 requests are running or waiting, 4 is the limit"):
            engine.submit([request("x"), request("y")])
        streams.append(engine.submit([request("z")]))
        with pytest.raises(QueueFullError):
            engine.submit([request("w")])
    assert engine.in_flight == 0


async def test_what_the_engine_does_not_take_is_not_piled_up(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that are given up while it is busy free their places, and wait in the pipe all the same."""
    monkeypatch.setattr("engine.process.supervisor.MAX_UNSENT_BYTES", 100_000)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        with pytest.raises(QueueFullError, match="has not taken"):
            for at in range(1000):
                engine.submit([request(f"r{at}", max_tokens=1, prompt=60)]).close()
        assert engine.in_flight == 0
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    async with asyncio.timeout(60):
        while not (stream := took(engine, request("next"))):
            await asyncio.sleep(0.01)
    assert len(tokens((await collect(stream))["next"])) == 20


def took(engine: EngineProcess, wanted: Request) -> EventStream | None:
    with suppress(QueueFullError):
        return engine.submit([wanted])
    return None


class engine_requests:  # noqa: N801
    """Long requests that run for the length of a block."""

    def __init__(self, engine: EngineProcess, count: int) -> None:
        self.streams = [engine.submit([request(f"long-{i}", max_tokens=4000)]) for i in range(count)]

    def __enter__(self) -> list[EventStream]:
        return self.streams

    def __exit__(self, *exc_info: object) -> None:
        for stream in self.streams:
            stream.close()


async def test_a_bad_request_is_refused_before_it_is_sent(engine: EngineProcess) -> None:
    with pytest.raises(RequestError, match="token id 64"):
        engine.submit([replace(request("a"), prompt_token_ids=(64,))])
    assert engine.in_flight == 0


async def test_a_killed_engine_is_noticed(engine: EngineProcess) -> None:
    stream = engine.submit([request("a", max_tokens=4000)])
    await anext(stream)
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)
    with pytest.raises(GenerationError, match="the engine process ended"):
        async with asyncio.timeout(30):
            async for _ in stream:
                pass
    with pytest.raises(EngineNotReadyError, match="the engine process ended"):
        engine.submit([request("b")])
    before = engine.pid
    await ready(engine)
    assert engine.pid != before
    assert len(tokens((await collect(engine.submit([request("next")])))["next"])) == 20


async def test_only_the_server_tells_it_to_stop(engine: EngineProcess) -> None:
    """Signals for the whole group of processes reach it too."""
    assert engine.pid is not None
    for signum in (signal.SIGINT, signal.SIGTERM):
        os.kill(engine.pid, signum)
    assert len(tokens((await collect(engine.submit([request("a")])))["a"])) == 20
    assert engine.status.phase == "ready"


async def test_python_files_in_the_current_directory_are_not_run(
    config: EngineConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("engine", "secrets", "torch"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('run')")
    monkeypatch.chdir(tmp_path)
    process = EngineProcess(config, supervision=Supervision(max_restarts=0))
    await process.start()
    await ready(process)
    await process.stop()


async def test_an_engine_that_cannot_live_is_given_up(
    config: EngineConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("engine.process.child.sys.executable", "/bin/false")
    restarts: list[EngineStatus] = []
    process = EngineProcess(config, supervision=Supervision(max_restarts=3, longest_pause=0.01))
    process.on_restart(lambda: restarts.append(process.status))
    await process.start()
    async with asyncio.timeout(60):
        while process.status.phase == "loading":
            await asyncio.sleep(0.01)
    assert process.status == EngineStatus(
        "dead", message="the engine process ended (exit status 1); given up after 3 restarts"
    )
    assert [(status.phase, status.message.rpartition("; ")[2]) for status in restarts] == [
        ("loading", "restart 1 in 0 s"), ("loading", "restart 2 in 0.01 s"), ("loading", "restart 3 in 0.01 s"),
    ]  # fmt: skip
    assert sum("restart" in record.message for record in caplog.records) == 3
    assert process.pid is None
    await process.stop()
    assert process.status.phase == "dead"


@pytest.mark.parametrize(("stable_seconds", "restarts"), [(0.0, 3), (math.inf, 2)])
async def test_only_who_was_ready_for_long_enough_clears_the_count(
    config: EngineConfig, monkeypatch: pytest.MonkeyPatch, stable_seconds: float, restarts: int
) -> None:
    """Engines of which two become ready, and no others, before they end."""
    said: list[Ready | None] = [Ready(INFO), None, Ready(INFO), None]

    async def receive(child: Child) -> Ready | None:
        return said.pop(0) if said else None

    monkeypatch.setattr("engine.process.child.sys.executable", "/bin/false")
    monkeypatch.setattr(Child, "receive", receive)
    told: list[str] = []
    supervision = Supervision(max_restarts=2, longest_pause=0.0, stable_seconds=stable_seconds)
    process = EngineProcess(config, supervision=supervision)
    process.on_restart(lambda: told.append(process.status.message))
    await process.start()
    async with asyncio.timeout(60):
        while process.status.phase != "dead":
            await asyncio.sleep(0.01)
    assert process.status.message.endswith("given up after 2 restarts")
    assert len(told) == restarts
    await process.stop()


def fake_engine(path: Path, code: str) -> str:
    """A program in the place of Python, which has the pipe's number as its last argument."""
    path.write_text(f"#!{sys.executable}\nimport socket, sys\n{code}")
    path.chmod(0o700)
    return str(path)


async def test_what_an_engine_writes_is_logged_but_for_lines_beyond_measure(
    config: EngineConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = f"print('before', 'x' * {2 * child.MAX_LINE_BYTES}, 'after', sep='\\n', file=sys.stderr)"
    monkeypatch.setattr("engine.process.child.sys.executable", fake_engine(tmp_path / "fake", code))
    monkeypatch.setattr(child, "LOGGED_SECONDS", 60.0)
    launched = await Child.launch(config)
    assert await launched.receive() is None
    assert await launched.end(60) == "exit status 0"
    lines = [record.message for record in caplog.records]
    assert (lines[0], lines[-1]) == ("before", "after")
    assert all(len(line) <= child.MAX_LINE_BYTES for line in lines)


async def test_an_engine_that_talks_nonsense_is_replaced(
    config: EngineConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = "socket.socket(fileno=int(sys.argv[-1])).sendall(bytes([0, 0, 0, 1]) + b'?')"
    monkeypatch.setattr("engine.process.child.sys.executable", fake_engine(tmp_path / "fake", code))
    process = EngineProcess(config, supervision=Supervision(max_restarts=1))
    await process.start()
    async with asyncio.timeout(60):
        while process.status.phase != "dead":
            await asyncio.sleep(0.01)
    assert process.status.message.startswith("the engine process ended (")
    assert process.status.message.endswith("given up after 1 restarts")
    await process.stop()


def fails(*_: object) -> None:
    raise LookupError("on purpose")


@pytest.mark.parametrize("where", ["launch", "plan", "step", "event"])
async def test_a_supervision_that_fails_ends_the_engine_and_says_why(
    config: EngineConfig, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = EngineProcess(config, on_plan=fails if where == "plan" else None)
    if where == "launch":
        monkeypatch.setattr("engine.process.child.frame", fails)
    await process.start()
    if where in ("step", "event"):
        await ready(process)
        stream = process.submit([request("a", max_tokens=4000), request("b")])
        other = process.submit([request("c", max_tokens=4000)])
        if where == "step":
            process.on_step(fails)
        else:
            stream.listener = fails
        for each in (stream, other):
            with pytest.raises(GenerationError, match="LookupError: on purpose"):
                await collect(each)
    async with asyncio.timeout(60):
        while process.status.phase != "dead" or process.pid is not None:
            await asyncio.sleep(0.01)
    assert process.status.message == "the engine's supervision failed (LookupError: on purpose)"
    assert [record.exc_info is not None for record in caplog.records if "supervision" in record.message] == [True]
    assert process.in_flight == 0
    await process.stop()
    assert process.status.phase == "dead"


async def test_an_engine_that_loads_in_silence_is_replaced(
    config: EngineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """It is killed: no one waits for it to say why."""
    process = EngineProcess(config, supervision=Supervision(silence_seconds=0.01, max_restarts=1))
    await process.start()
    async with asyncio.timeout(60):
        while process.status.phase == "loading":
            await asyncio.sleep(0.01)
    assert process.status.message.startswith("the engine made no progress for 0.01 s (killed by SIGKILL); given up")
    await process.stop()


async def test_an_engine_that_cannot_be_killed_has_no_successor(
    config: EngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that waits for a device for ever: its memory is not to be had."""
    process = EngineProcess(config, supervision=Supervision(stall_seconds=0.1))
    await process.start()
    await ready(process)
    held = process._child
    assert held is not None
    monkeypatch.setattr(Child, "kill", lambda child: None)
    monkeypatch.setattr(child, "KILLED_SECONDS", 0.1)
    os.kill(held.pid, signal.SIGSTOP)
    try:
        process.submit([request("a")])
        async with asyncio.timeout(60):
            while process.status.phase != "dead":
                await asyncio.sleep(0.01)
        assert process.status.message == f"the engine made no progress for 0.1 s (process {held.pid} cannot be killed)"
    finally:
        os.kill(held.pid, signal.SIGKILL)
    assert await held.end(60) == "killed by SIGKILL"
    await process.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an engine that reads nothing does not notice")
def test_an_engine_that_hangs_ends_with_its_server(config: EngineConfig) -> None:
    """One that is stopped reads nothing."""
    code = f"""
import asyncio
from pathlib import Path, PosixPath
from engine.config import EngineConfig
from engine.process.child import Child
from engine.process.wire import Ready

async def main():
    child = await Child.launch({config!r})
    while not isinstance(await child.receive(), Ready):
        pass
    print(child.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        engine = psutil.Process(int(server.stdout.readline()))
        engine.suspend()
        server.kill()
    try:
        engine.wait(60)
    finally:
        with suppress(psutil.NoSuchProcess):
            engine.kill()


async def test_an_engine_that_is_idle_is_left_alone(config: EngineConfig) -> None:
    process = EngineProcess(config, supervision=Supervision(stall_seconds=0.5))
    await process.start()
    await ready(process)
    before = process.pid
    for name in ("a", "b"):
        await asyncio.sleep(0.75)
        assert len(tokens((await collect(process.submit([request(name)])))[name])) == 20
    assert process.pid == before
    await process.stop()


@pytest.mark.parametrize(("device", "seconds"), [("cpu", 480.0), ("cuda:0", 120.0)])
async def test_a_long_step_is_given_its_time_on_a_cpu(config: EngineConfig, device: str, seconds: float) -> None:
    process = EngineProcess(config)
    process._receive(Ready(replace(INFO, device=device)))
    async with asyncio.timeout(None) as process._stall:
        await asyncio.sleep(0)
        process._receive(Running(2048))
        process._note_progress()
        assert process._patience == seconds
        assert process._stall.when() is not None, "it works, whether or not anybody waits for that"
        process._receive(Events([], EngineStats()))
        process._note_progress()
        assert process._patience == 120.0
        assert process._stall.when() is None


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("--stall-timeout", {"stall_seconds": 0.0}),
        ("--stall-timeout", {"stall_seconds": math.nan}),
        ("--max-engine-restarts", {"max_restarts": -1}),
    ],
)
def test_supervision_is_checked(flag: str, values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=flag):
        Supervision(**values)  # type: ignore[arg-type]


async def test_a_stopped_engine_ends_its_streams(config: EngineConfig) -> None:
    process = EngineProcess(config)
    await process.start()
    with pytest.raises(EngineNotReadyError):
        process.submit([request("early")])
    await ready(process)
    stream = process.submit([request("a", max_tokens=4000)])
    await anext(stream)
    await process.stop()
    with pytest.raises(GenerationError, match="stopped"):
        async for _ in stream:
            pass


async def test_a_checkpoint_that_cannot_be_loaded_says_why(config: EngineConfig, tmp_path: Path) -> None:
    write_checkpoint(tmp_path, MODEL)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    process = EngineProcess(replace(config, model=tmp_path))
    await process.start()
    async with asyncio.timeout(60):
        while process.status.phase == "loading":
            await asyncio.sleep(0.01)
    assert process.status.phase == "dead"
    assert "model.safetensors" in process.status.message
    await process.stop()
