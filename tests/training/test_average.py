from dataclasses import replace
from pathlib import Path

import torch
import typer
from tokenizers import Tokenizer
from typer.testing import CliRunner

from training import average
from training.config import TrainingConfig
from training.export import export, load_exported
from training.loop import new_state, save_state
from training.model import GptOss

RUNNER = CliRunner()


def test_the_mean_of_two_runs_is_exported(
    tiny_config: TrainingConfig, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    states = [new_state(replace(tiny_config, seed=seed)) for seed in (1, 2)]
    runs = [tmp_path / "first", tmp_path / "second"]
    for state, run in zip(states, runs, strict=True):
        save_state(state, tiny_config, run / "checkpoint.pt")
    export(states[0].model, tiny_tokenizer, tmp_path / "like")

    app = typer.Typer()
    app.command()(average.main)
    options = ["--like", str(tmp_path / "like"), "--output", str(tmp_path / "mean")]
    done = RUNNER.invoke(app, [*map(str, runs), *options])
    assert done.exit_code == 0, done.output

    mean = GptOss(tiny_config.shape)
    first, second = (state.model.state_dict() for state in states)
    mean.load_state_dict({name: (first[name] + second[name]) / 2 for name in first})
    export(mean, tiny_tokenizer, tmp_path / "by-hand")
    exported = [load_exported(tmp_path / name).state_dict() for name in ("mean", "by-hand", "like")]
    assert all(torch.equal(exported[0][name], exported[1][name]) for name in exported[0])
    assert not all(torch.equal(exported[0][name], exported[2][name]) for name in exported[0])
