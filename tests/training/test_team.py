"""Two processes train as one: each on other batches, both with the same weights."""

from pathlib import Path

import torch
from torch import multiprocessing

from training.config import Shape, TrainingConfig
from training.loop import new_state, plan, train_step
from training.packing import Batch, Encoded
from training.team import Team, join

SHAPE = Shape(vocab_size=64, hidden_size=32, intermediate_size=32, num_layers=2, num_experts=4, window=8)
CONFIG = TrainingConfig(shape=SHAPE, steps=4, batch_tokens=64, warmup_steps=1, bfloat16=False, router_balance=0.0)


def batch(rank: int) -> Batch:
    tokens = torch.randint(0, SHAPE.vocab_size, (2, 17), generator=torch.Generator().manual_seed(rank))
    return Batch(tokens, torch.ones_like(tokens, dtype=torch.bool))


def both() -> Batch:
    first, second = batch(0), batch(1)
    return Batch(torch.cat([first.tokens, second.tokens]), torch.cat([first.learnt, second.learnt]))


def step_together(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.compiler.set_stance("force_eager")
    team, state = join(rank, size, folder / "meeting"), new_state(CONFIG)
    train_step(state, batch(rank), CONFIG, team)
    torch.save(state.model.state_dict(), folder / f"{rank}.pt")


def test_a_step_of_two_is_a_step_over_both_batches(tmp_path: Path) -> None:
    multiprocessing.spawn(step_together, (2, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    alone = new_state(TrainingConfig(**{f: getattr(CONFIG, f) for f in CONFIG.__slots__} | {"batch_tokens": 128}))
    train_step(alone, both(), CONFIG)
    for name, value in alone.model.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, atol=2e-3, rtol=0, msg=name)


def test_each_reads_batches_of_its_own_and_of_one_length() -> None:
    lengths = [*range(10, 40)] * 3
    starts = torch.tensor([0, *lengths]).cumsum(0)
    documents = Encoded(torch.zeros(sum(lengths), dtype=torch.int32), torch.ones(sum(lengths)).bool(), starts)
    mine, yours = (plan(documents, CONFIG, 0, Team(rank, 2)) for rank in range(2))
    assert len(mine) == len(yours) > 10
    read = [document for batches in (mine, yours) for each in batches for document in each]
    assert len(read) == len(set(read))
    whole = {document for each in plan(documents, CONFIG, 0) for document in each}
    assert len(whole - set(read)) <= CONFIG.batch_tokens // 10
    assert all(abs(lengths[a[0]] - lengths[b[0]]) <= 16 for a, b in zip(mine, yours, strict=True))
