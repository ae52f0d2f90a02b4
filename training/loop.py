"""The training loop: warm-up, a constant rate and a linear end, batches in a seeded order, resumable checkpoints."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import TrainingConfig
from training.eyes import consecutive
from training.far_sight import look_farther
from training.first_weights import initialise
from training.growth import grown
from training.model import GptOss
from training.optimizer import Muon
from training.packing import Batch, Encoded, gather
from training.team import ALONE, Team

CPU = torch.device("cpu")
COUNT_FLOOR = 1 / 8
"""Added to a step's count of learnt tokens, as a share of its tokens, so that few tokens weigh less than many."""


@dataclass(slots=True)
class TrainingState:
    """Everything a step changes. `step` counts the steps taken."""

    model: GptOss
    optimizers: tuple[torch.optim.Optimizer, ...]
    step: int = 0


@dataclass(frozen=True, slots=True)
class StepReport:
    step: int
    loss: float
    imbalance: float
    tokens: int


def rate(config: TrainingConfig, step: int) -> float:
    """A step's share of the peak rate: up over the warm-up, then 1, then down to 0 over the last part."""
    rising = (step + 1) / config.warmup_steps
    falling = (config.steps - step) / max(1.0, config.steps * config.decay_share)
    return min(1.0, rising, falling)


def new_state(config: TrainingConfig, start: GptOss | None = None, device: torch.device = CPU) -> TrainingState:
    """The first weights, or those of `start`, grown if its shape is smaller. Raises ValueError if it does not fit.

    Muon trains the matrices inside the layers; biases, norms and sinks do not decay.
    """
    model = GptOss(config.shape, dtype=torch.bfloat16 if config.bfloat16 else torch.float32)
    if start is None:
        initialise(model, config.seed)
    else:
        model.load_state_dict(grown(start, config.shape).state_dict())
        old = start.shape.hidden_size
        if config.shape.num_heads == 8 > start.shape.num_heads and config.shape.hidden_size > old:
            far = consecutive(old, ((config.shape.hidden_size - old) // 4,) * 4)
            look_farther(model, slice(0, old), far, torch.Generator().manual_seed(config.seed))
    model.to(device)
    matrices, tables, others = [], [], []
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or name.endswith("bias"):
            others.append(parameter)
        elif "layers" in name and "router" not in name:
            matrices.append(parameter)
        else:
            tables.append(parameter)
    muon = Muon(matrices, config.matrix_rate, config.momentum, config.weight_decay, model.dtype)
    adam = torch.optim.AdamW(
        [{"params": tables, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        betas=config.betas,
        fused=True,
    )
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return TrainingState(model, (muon, adam))


@torch.compile(dynamic=True)
def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The sum over tokens, in nats. logits [N, vocab], targets [N]."""
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def prediction_loss(model: GptOss, batch: Batch) -> tuple[Tensor, int, Tensor]:
    """Summed cross-entropy (nats) over the learnt tokens, their count, and the router's load-balance term."""
    batch = batch.to(model.device)
    wanted = batch.learnt[:, 1:]
    logits, imbalance = model(batch.tokens[:, :-1], wanted)
    targets = batch.tokens[:, 1:][wanted]
    return cross_entropy(logits, targets), len(targets), imbalance


def plan(documents: Encoded, config: TrainingConfig, epoch: int, team: Team = ALONE) -> list[list[int]]:
    """The documents of each step of an epoch. The seed decides their order.

    A team's batches of one step have about the same length, so that no process waits; batches left over are not read.
    """
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
    order = torch.randperm(len(documents), generator=generator).tolist()
    lengths = documents.lengths().tolist()
    batches = sorted(gather(lengths, order, config.batch_tokens), key=lambda batch: lengths[batch[0]])
    steps = torch.randperm(len(batches) // team.size, generator=generator).tolist()
    return [batches[step * team.size + team.rank] for step in steps]


def train_step(state: TrainingState, batch: Batch, config: TrainingConfig, team: Team = ALONE) -> StepReport:
    """Takes one step. The report is of this process's batch, with the team's tokens if all batches have as many."""
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate(config, state.step)
    total, count, imbalance = prediction_loss(state.model, batch)
    loss = total / (count + COUNT_FLOOR * config.batch_tokens)
    state.model.zero_grad(set_to_none=True)
    (loss + config.router_balance * imbalance).backward()
    team.average_gradients(state.model.parameters())
    nn.utils.clip_grad_norm_(state.model.parameters(), config.gradient_clip)
    for optimizer in state.optimizers:
        optimizer.step()
    state.step += 1
    return StepReport(state.step, total.item() / max(count, 1), imbalance.item(), batch.tokens.numel() * team.size)


@torch.no_grad()
def held_out_loss(model: GptOss, documents: Encoded, batch_tokens: int) -> float:
    """Mean cross-entropy (nats) per learnt token, over all documents."""
    total, count = 0.0, 0
    for batch in gather(documents.lengths().tolist(), range(len(documents)), batch_tokens):
        its_total, its_count, _ = prediction_loss(model, documents.batch(batch))
        total += its_total.item()
        count += its_count
    return total / count


def comparable(config: TrainingConfig) -> dict[str, Any]:
    """The settings that must stay the same when a run is resumed: all but its length and the type of its products,
    which depends on the machine."""
    return {name: value for name, value in asdict(config).items() if name not in ("steps", "decay_share", "bfloat16")}


def save_state(state: TrainingState, config: TrainingConfig, path: Path) -> None:
    """Writes beside the old checkpoint and then replaces it, so that a complete checkpoint always exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    saved = {
        "config": comparable(config),
        "step": state.step,
        "model": state.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in state.optimizers],
    }
    torch.save(saved, partial)
    partial.replace(path)


def load_state(config: TrainingConfig, path: Path, device: torch.device = CPU) -> TrainingState:
    """Raises ValueError if the checkpoint belongs to a run with other settings."""
    saved = torch.load(path, map_location=CPU, weights_only=True)
    if saved["config"] != comparable(config):
        raise ValueError(f"{path} belongs to a run with another configuration; remove it or choose another --run")
    state = new_state(config, device=device)
    state.model.load_state_dict(saved["model"])
    for optimizer, its_state in zip(state.optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(its_state)
    state.step = saved["step"]
    return state


def train(
    config: TrainingConfig,
    documents: Encoded,
    checkpoint: Path,
    report: Callable[[StepReport, GptOss], None],
    start: GptOss | None = None,
    stop: int | None = None,
    team: Team = ALONE,
    device: torch.device = CPU,
) -> TrainingState:
    """Trains up to `config.steps`, from `checkpoint` if it exists; a team's first process saves to it along the way.

    A new run starts from `start`'s weights, if given. A run that stops early has the learning rates of the whole run.
    """
    end = config.last_step(stop)
    state = load_state(config, checkpoint, device) if checkpoint.exists() else new_state(config, start, device)
    epoch, batches, before = 0, plan(documents, config, 0, team), 0
    while state.step < end:
        while state.step - before >= len(batches):
            before, epoch = before + len(batches), epoch + 1
            batches = plan(documents, config, epoch, team)
        report(train_step(state, documents.batch(batches[state.step - before]), config, team), state.model)
        if team.rank == 0 and (state.step % config.checkpoint_every == 0 or state.step == end):
            save_state(state, config, checkpoint)
    return state
