"""Training on another device than the CPU, as on a GPU: what has to be there is there, and the numbers are the same."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.elsewhere import ELSEWHERE, ElsewhereIsThere
from training.config import TrainingConfig
from training.export import stored_tensors
from training.loop import CPU, StepReport, held_out_loss, train
from training.packing import Encoded


def run(
    config: TrainingConfig, documents: Encoded, folder: Path, device: torch.device
) -> tuple[list[StepReport], float, dict[str, torch.Tensor]]:
    """Three steps, interrupted after the second; the held-out loss, and what would be exported."""
    reports: list[StepReport] = []
    for stop in (2, 3):
        state = train(
            config, documents, folder / "run.pt", lambda step, _: reports.append(step), stop=stop, device=device
        )
    assert state.model.device == device
    assert [report.step for report in reports] == [1, 2, 3]
    return reports, held_out_loss(state.model, documents, config.batch_tokens), stored_tensors(state.model)


@pytest.fixture
def fused_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW in one op, as on a CPU and a GPU."""
    optimizer = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["cpu", ELSEWHERE.type])


@pytest.mark.usefixtures("fused_everywhere")
@pytest.mark.parametrize("bfloat16", [False, True])
def test_another_device_trains_the_same_model(
    tiny_config: TrainingConfig, tiny_documents: Encoded, tmp_path: Path, bfloat16: bool
) -> None:
    config = replace(tiny_config, bfloat16=bfloat16)
    here = run(config, tiny_documents, tmp_path / "here", CPU)
    with ElsewhereIsThere():
        there = run(config, tiny_documents, tmp_path / "there", ELSEWHERE)
    assert there[:2] == here[:2]
    assert there[2].keys() == here[2].keys()
    for name, tensor in there[2].items():
        assert torch.equal(tensor, here[2][name]), name


def test_the_device_that_is_not_there_refuses_what_is_here() -> None:
    with ElsewhereIsThere():
        absent = torch.ones(3, device=ELSEWHERE)
        assert (absent + torch.tensor(1.0)).sum().item() == 6
        with pytest.raises(RuntimeError, match="two devices"):
            absent + torch.ones(3)
