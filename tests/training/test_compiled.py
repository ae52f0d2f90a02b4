"""What torch.compile makes of the passes over elements is what they say."""

import pytest
import torch
from torch import Tensor

from training.config import TrainingConfig
from training.loop import new_state, prediction_loss
from training.packing import Encoded


def loss_and_gradients(config: TrainingConfig, documents: Encoded) -> tuple[float, dict[str, Tensor]]:
    """Of batches of two lengths: the second has other sizes than what was compiled for the first."""
    model, lengths = new_state(config).model, documents.lengths().tolist()
    total = torch.zeros(())
    for picked in (lengths.index(min(lengths)), lengths.index(max(lengths))):
        loss, count, imbalance = prediction_loss(model, documents.batch([picked, picked]))
        total = total + loss / count + imbalance
    total.backward()
    return total.item(), {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # The compiler's own.
def test_compiled_is_uncompiled(tiny_config: TrainingConfig, tiny_documents: Encoded) -> None:
    expected, slopes = loss_and_gradients(tiny_config, tiny_documents)
    with torch.compiler.set_stance("default"):
        found, mine = loss_and_gradients(tiny_config, tiny_documents)
    assert found == pytest.approx(expected, rel=1e-5)
    assert mine.keys() == slopes.keys()
    for name, slope in slopes.items():
        assert (mine[name] - slope).norm() <= 1e-4 * slope.norm() + 1e-7, name
