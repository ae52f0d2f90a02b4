import pytest
import torch
from torch import nn

from training.model import GptOss


@pytest.mark.parametrize("length", [12, 40])
def test_every_parameter_learns(random_model: GptOss, length: int) -> None:
    ids = torch.randint(0, random_model.shape.vocab_size, (2, length), generator=torch.Generator().manual_seed(0))
    logits, imbalance = random_model(ids)
    nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten()).add(imbalance).backward()
    still = [name for name, p in random_model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_wanted_positions_are_a_selection(random_model: GptOss) -> None:
    ids = torch.randint(0, 400, (2, 10), generator=torch.Generator().manual_seed(0))
    wanted = torch.zeros(2, 10, dtype=torch.bool)
    wanted[0, 3] = wanted[1, 7] = True
    assert torch.allclose(random_model(ids, wanted)[0], random_model(ids)[0][wanted], atol=1e-5)
