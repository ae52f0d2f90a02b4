import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.config import TrainingConfig
from training.loop import (
    StepReport,
    batch_of,
    held_out_loss,
    learning_rate,
    load_state,
    new_state,
    prediction_loss,
    save_state,
    train,
    train_step,
)
from training.packing import Sequences


def test_training_lowers_the_loss_and_stays_finite(
    tiny_config: TrainingConfig, tiny_sequences: Sequences, tmp_path: Path
) -> None:
    config = replace(tiny_config, steps=25, warmup_steps=5, learning_rate=1e-2)
    reports: list[StepReport] = []
    before = held_out_loss(new_state(config).model, tiny_sequences, batch_size=4)
    state = train(config, tiny_sequences, tmp_path / "checkpoint.pt", reports.append)
    assert [report.step for report in reports] == list(range(1, 26))
    assert all(math.isfinite(report.loss) for report in reports)
    assert held_out_loss(state.model, tiny_sequences, batch_size=4) < before - 1.0


def test_an_interrupted_run_ends_with_the_same_bits(
    tiny_config: TrainingConfig, tiny_sequences: Sequences, tmp_path: Path
) -> None:
    whole = train(tiny_config, tiny_sequences, tmp_path / "whole.pt", lambda _: None)
    state = new_state(tiny_config)
    for step in range(2):
        train_step(state, batch_of(tiny_sequences, tiny_config, step), tiny_config)
    save_state(state, tiny_config, tmp_path / "cut.pt")
    steps: list[int] = []
    resumed = train(tiny_config, tiny_sequences, tmp_path / "cut.pt", lambda report: steps.append(report.step))
    assert steps == [3, 4, 5, 6]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_a_checkpoint_of_other_numbers_is_refused(tiny_config: TrainingConfig, tmp_path: Path) -> None:
    save_state(new_state(tiny_config), tiny_config, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="another configuration"):
        load_state(replace(tiny_config, seed=1), tmp_path / "checkpoint.pt")


def test_an_epoch_reads_every_sequence_once_and_the_next_in_another_order(
    tiny_config: TrainingConfig,
) -> None:
    numbered = Sequences(torch.arange(10)[:, None], torch.ones(10, 1, dtype=torch.bool))
    rows = [row for step in range(10) for row in batch_of(numbered, tiny_config, step).tokens.flatten().tolist()]
    first, second = rows[:10], rows[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_the_learning_rate_rises_and_falls(tiny_config: TrainingConfig) -> None:
    config = replace(tiny_config, steps=110, warmup_steps=10, learning_rate=1.0, final_lr_fraction=0.1)
    assert [learning_rate(config, step) for step in (0, 9, 10)] == [0.1, 1.0, 1.0]
    assert learning_rate(config, 60) == pytest.approx(0.55)
    assert learning_rate(config, 110) == pytest.approx(0.1)


def test_tokens_that_are_not_learnt_do_not_count(tiny_config: TrainingConfig, tiny_sequences: Sequences) -> None:
    model = new_state(tiny_config).model
    batch = tiny_sequences.rows(slice(0, 2))
    learnt = torch.zeros_like(batch.learnt)
    learnt[0, 5] = True
    logits, _ = model(batch.tokens[:, :-1])
    expected = -logits[0, 4].log_softmax(-1)[batch.tokens[0, 5]]
    assert prediction_loss(model, Sequences(batch.tokens, learnt))[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_without_anything_to_learn_is_no_loss(tiny_config: TrainingConfig, tiny_sequences: Sequences) -> None:
    batch = tiny_sequences.rows(slice(0, 2))
    nothing = Sequences(batch.tokens, torch.zeros_like(batch.learnt))
    assert prediction_loss(new_state(tiny_config).model, nothing)[0].item() == 0.0
