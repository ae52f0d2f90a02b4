import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.config import TrainingConfig
from training.loop import (
    StepReport,
    held_out_loss,
    load_state,
    new_state,
    plan,
    prediction_loss,
    rate,
    save_state,
    train,
    train_step,
)
from training.model import GptOss
from training.packing import Batch, Encoded


def into(reports: list[StepReport]) -> Callable[[StepReport, GptOss], None]:
    return lambda report, _: reports.append(report)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_training_lowers_the_loss_and_stays_finite(
    tiny_config: TrainingConfig, tiny_documents: Encoded, tmp_path: Path, bfloat16: bool
) -> None:
    config = replace(tiny_config, steps=30, warmup_steps=5, bfloat16=bfloat16, learning_rate=1e-2)
    reports: list[StepReport] = []
    before = held_out_loss(new_state(config).model, tiny_documents, batch_tokens=512)
    state = train(config, tiny_documents, tmp_path / "checkpoint.pt", into(reports))
    assert [report.step for report in reports] == list(range(1, 31))
    assert all(math.isfinite(report.loss) for report in reports)
    assert held_out_loss(state.model, tiny_documents, batch_tokens=512) < before - 1.0


def test_an_interrupted_run_ends_with_the_same_bits(
    tiny_config: TrainingConfig, tiny_documents: Encoded, tmp_path: Path
) -> None:
    whole = train(tiny_config, tiny_documents, tmp_path / "whole.pt", into([]))
    state = new_state(tiny_config)
    batches = plan(tiny_documents, tiny_config, 0)
    for step in range(2):
        train_step(state, tiny_documents.batch(batches[step]), tiny_config)
    save_state(state, tiny_config, tmp_path / "cut.pt")
    reports: list[StepReport] = []
    resumed = train(tiny_config, tiny_documents, tmp_path / "cut.pt", into(reports))
    assert [report.step for report in reports] == [3, 4, 5, 6]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_a_run_may_be_made_longer(tiny_config: TrainingConfig, tiny_documents: Encoded, tmp_path: Path) -> None:
    config = replace(tiny_config, steps=2)
    train(config, tiny_documents, tmp_path / "run.pt", into([]))
    assert train(replace(config, steps=4), tiny_documents, tmp_path / "run.pt", into([])).step == 4


def test_a_run_that_stops_early_is_the_beginning_of_the_whole(
    tiny_config: TrainingConfig, tiny_documents: Encoded, tmp_path: Path
) -> None:
    reports: list[StepReport] = []
    train(tiny_config, tiny_documents, tmp_path / "whole.pt", into(reports))
    parts: list[StepReport] = []
    assert train(tiny_config, tiny_documents, tmp_path / "part.pt", into(parts), stop=4).step == 4
    train(tiny_config, tiny_documents, tmp_path / "part.pt", into(parts))
    assert [part.loss for part in parts] == [report.loss for report in reports]


def test_a_checkpoint_of_other_numbers_is_refused(tiny_config: TrainingConfig, tmp_path: Path) -> None:
    save_state(new_state(tiny_config), tiny_config, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="another configuration"):
        load_state(replace(tiny_config, seed=1), tmp_path / "checkpoint.pt")


def test_a_machine_with_other_products_goes_on_with_a_run(
    tiny_config: TrainingConfig, tiny_documents: Encoded, tmp_path: Path
) -> None:
    for bfloat16, stop in ((True, 2), (False, 4)):
        config = replace(tiny_config, bfloat16=bfloat16)
        state = train(config, tiny_documents, tmp_path / "run.pt", into([]), stop=stop)
    assert state.step == 4
    assert state.model.dtype == torch.float32


def test_an_epoch_reads_every_document_once_and_the_next_in_another_order(
    tiny_config: TrainingConfig, tiny_documents: Encoded
) -> None:
    first, second = (plan(tiny_documents, tiny_config, epoch) for epoch in (0, 1))
    for batches in (first, second):
        assert sorted(i for batch in batches for i in batch) == list(range(len(tiny_documents)))
    assert first != second
    assert plan(tiny_documents, tiny_config, 0) == first


def test_training_goes_on_into_further_epochs(
    tiny_config: TrainingConfig, tiny_documents: Encoded, tmp_path: Path
) -> None:
    steps = 2 * len(plan(tiny_documents, tiny_config, 0)) + 1
    reports: list[StepReport] = []
    train(replace(tiny_config, steps=steps), tiny_documents, tmp_path / "run.pt", into(reports))
    assert len(reports) == steps


def test_the_rate_rises_stays_and_falls(tiny_config: TrainingConfig) -> None:
    config = replace(tiny_config, steps=100, warmup_steps=10, decay_share=0.4)
    assert [rate(config, step) for step in (0, 9, 10, 59, 60)] == [0.1, 1.0, 1.0, 1.0, 1.0]
    assert rate(config, 80) == pytest.approx(0.5)
    assert rate(config, 99) == pytest.approx(0.025)


def test_tokens_that_are_not_learnt_do_not_count(tiny_config: TrainingConfig, tiny_documents: Encoded) -> None:
    model = new_state(tiny_config).model
    batch = tiny_documents.batch([0, 1])
    learnt = torch.zeros_like(batch.learnt)
    learnt[0, 5] = True
    logits, _ = model(batch.tokens[:, :-1])
    expected = -logits[0, 4].log_softmax(-1)[batch.tokens[0, 5]]
    loss, count, _ = prediction_loss(model, Batch(batch.tokens, learnt))
    assert count == 1
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_padding_changes_nothing(tiny_config: TrainingConfig, tiny_documents: Encoded) -> None:
    model = new_state(tiny_config).model
    alone = [prediction_loss(model, tiny_documents.batch([i]))[0].item() for i in (0, 1, 2)]
    together = prediction_loss(model, tiny_documents.batch([0, 1, 2]))[0].item()
    assert together == pytest.approx(sum(alone), rel=1e-5)
