"""`carousel bench` as it is used, against a server with a scripted engine."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clients.bench import program
from clients.bench.load import Concurrency
from clients.bench.program import Plan
from server.cli import app as command
from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
SMALL = ("--input-len", "12", "--output-len", "6", "--vocab-size", "100", "--num-prompts", "5", "--warmup", "2")


async def bench(*arguments: str) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, command, ["bench", *arguments])


async def test_a_sweep(url: str, engine: ScriptedEngine, tmp_path: Path) -> None:
    output, plot = tmp_path / "out.json", tmp_path / "out.svg"
    files = ("--output", str(output), "--plot", str(plot))
    result = await bench("--url", f"{url}/v1", "--concurrency", "1,2", *SMALL, *files)
    assert result.exit_code == 0, result.output
    assert "2 at once" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert len(engine.submitted) == 2 + 5 + 5
    for request in engine.submitted:
        assert len(request.prompt_token_ids) == 12
        assert (request.sampling.max_tokens, request.sampling.ignore_eos) == (6, True)
    assert len({request.prompt_token_ids for request in engine.submitted}) == 12
    written = json.loads(output.read_text())
    assert [point["concurrency"] for point in written["points"]] == [1, 2]
    for point in written["points"]:
        assert (point["requests"], point["errors"], point["input_tokens"], point["output_tokens"]) == (5, {}, 60, 30)
        assert 0 < point["time_to_first_token"]["p50"] <= point["end_to_end"]["p99"]
    about = written["environment"]
    assert (about["model"], about["server"]) == ("tiny", url)
    assert about["server_version"]
    assert {"commit", "python", "cpu", "cpus", "gpu", "platform", "time"} <= about.keys()
    picture = plot.read_text()
    assert "<svg" in picture


async def test_a_rate_with_a_file(url: str, engine: ScriptedEngine, tmp_path: Path) -> None:
    file = tmp_path / "share.json"
    file.write_text(json.dumps([{"conversations": [{"from": "human", "value": "What?"}]}]))
    result = await bench("--url", url, "--request-rate", "200", "--dataset", str(file), *SMALL)
    assert result.exit_code == 0, result.output
    assert "200/s" in result.stdout
    prompt = bytes(token for token in engine.submitted[-1].prompt_token_ids if token < 256).decode()
    assert prompt.endswith("userWhat?assistant")


async def test_errors_are_counted(url: str, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("a", error="broken") if len(engine.submitted) % 2 else say("ab")
    result = await bench("--url", url, "--concurrency", "1", *SMALL)
    assert result.exit_code == 0
    assert "1 at once: 3 × ServerFailedError: broken" in result.stdout
    engine.room = 0
    result = await bench("--url", url, "--concurrency", "1", *SMALL)
    assert (result.exit_code, result.stderr) == (1, "carousel: no request succeeded\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--concurrency", "1", "--request-rate", "1"),
        ("--concurrency", "1.5"),
        ("--concurrency", "0"),
        ("--request-rate", "fast"),
        ("--request-rate", "inf"),
        ("--dataset", "/no/such/file"),
    ],
)
async def test_what_cannot_be_measured(url: str, arguments: tuple[str, ...]) -> None:
    result = await bench("--url", url, *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("carousel: ")
    assert result.stderr.count("\n") == 1


async def test_a_load_is_what_its_row_says(url: str, engine: ScriptedEngine) -> None:
    result = await bench("--url", url, "--concurrency", "2,6", *SMALL)
    assert (result.exit_code, engine.submitted) == (1, [])
    assert result.stderr == "carousel: --num-prompts 5: --concurrency 6 needs at least as many\n"


async def test_files_that_cannot_be_written(url: str, engine: ScriptedEngine, tmp_path: Path) -> None:
    for flag, name in (("--output", "no/folder.json"), ("--plot", "no/folder.png"), ("--plot", "x.nonsense")):
        result = await bench("--url", url, "--concurrency", "1", *SMALL, flag, str(tmp_path / name))
        assert (result.exit_code, result.stderr.startswith("carousel: cannot write")) == (1, True)
        assert engine.submitted == [], "nothing is measured in vain"
    await bench("--url", "http://127.0.0.1:1", "--output", str(tmp_path / "out.json"))
    assert os.listdir(tmp_path) == []


async def test_what_was_measured_before_an_interruption_is_kept(
    url: str, engine: ScriptedEngine, say: Say, tmp_path: Path
) -> None:
    engine.play = lambda _: Script(hangs=True) if len(engine.submitted) > 5 else say("ab")
    plan = Plan(
        loads=[Concurrency(1), Concurrency(2)], model=None, num_prompts=5, warmup=0, input_len=4, output_len=2,
        vocab_size=100, ignore_eos=True, dataset=None, seed=0,
    )  # fmt: skip
    running = asyncio.create_task(program.bench(plan, url, None, output=tmp_path / "out.json", picture=None))
    async with asyncio.timeout(30):
        while len(engine.submitted) < 7:
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    written = json.loads((tmp_path / "out.json").read_text())
    assert [point["concurrency"] for point in written["points"]] == [1]


async def test_without_matplotlib_nothing_is_measured_in_vain(
    url: str, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = await bench("--url", url, "--plot", "x.png")
    assert (result.exit_code, engine.submitted) == (1, [])
    assert "carousel-llm[bench]" in result.stderr
