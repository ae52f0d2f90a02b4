"""The command that trains, as somebody would give it."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from training import train as train_command
from training.config import Shape, TrainingConfig
from training.export import load_exported, read_shape
from training.packing import Encoded
from training.train import LOG_COLUMNS, Files, Log, tokenizer_of

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "engine" / "embedded"


def command(folder: Path, *options: str) -> list[str]:
    where = ("--from", str(EMBEDDED), "--run", str(folder / "run"), "--output", str(folder / "model"))
    size = ("--documents", "80", "--batch-tokens", "700", "--steps", "2", "--no-compile")
    return [sys.executable, "-m", "training.train", *where, *size, *options]


def train(folder: Path, *options: str) -> str:
    done = subprocess.run(command(folder, *options), cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_processes_train_on_from_a_model_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    train(tmp_path, "--stop", "1")
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert saved["step"] == 1
    assert saved["config"]["matrix_rate"] == TrainingConfig().matrix_rate / 2

    said = train(tmp_path, "--processes", "1")
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 2
    with (tmp_path / "run" / "losses.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert int(rows[0]["tokens"]) < int(rows[1]["tokens"])
    assert "held-out loss of the exported model" in said
    assert read_shape(tmp_path / "model") == Shape()
    weight = load_exported(tmp_path / "model").lm_head.weight
    assert not torch.equal(weight, load_exported(EMBEDDED).lm_head.weight)


@pytest.mark.parametrize(
    ("has", "on_the_cpu"),
    [
        ({"avx2": True, "avx512_f": True, "amx_bf16": False, "avx512_bf16": False}, False),
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"neon": True}, False),
        ({"neon": True, "bf16": True}, True),
    ],
)
def test_products_are_in_bfloat16_where_the_machine_has_them(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], on_the_cpu: bool
) -> None:
    runs: list[TrainingConfig] = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    monkeypatch.setattr(train_command, "take_part", lambda rank, place, config, *rest: runs.append(config))
    for device in ("cpu", "cuda"):
        train_command.main(processes=1, device=device)
    assert [config.bfloat16 for config in runs] == [on_the_cpu, True]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    log, nothing = tmp_path / "losses.csv", Encoded(torch.empty(0), torch.empty(0), torch.zeros(1))
    for _ in range(2):
        Log(log, nothing, TrainingConfig(), end=4)
    assert log.read_text() == ",".join(LOG_COLUMNS) + "\n"


def test_a_run_from_nothing_keeps_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, files = TrainingConfig(shape=Shape(vocab_size=500)), Files(tmp_path / "model", tmp_path / "run", None)
    monkeypatch.setattr("training.train.TOKENIZER_DOCUMENTS", 300)
    first = tokenizer_of(config, files).to_str()
    assert [path.name for path in files.run.iterdir()] == ["tokenizer.json"]
    monkeypatch.setattr("training.train.TOKENIZER_DOCUMENTS", 200)
    assert tokenizer_of(config, files).to_str() == first
    assert tokenizer_of(config, Files(files.output, tmp_path / "other", None)).to_str() != first


def test_no_process_goes_on_when_the_run_in_the_background_is_killed(tmp_path: Path) -> None:
    def in_the_background() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    endless = command(tmp_path, "--steps", "1000000")
    with subprocess.Popen(endless, cwd=ROOT, stdout=subprocess.DEVNULL, preexec_fn=in_the_background) as run:
        while not (tmp_path / "run" / "losses.csv").exists():
            assert run.poll() is None
            time.sleep(0.05)
        workers = [each for each in psutil.Process(run.pid).children() if "spawn_main" in " ".join(each.cmdline())]
        assert len(workers) == 2
        run.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    for each in alive:
        each.kill()
    assert alive == []
