"""The training loop: AdamW, warm-up and cosine, batches in a seeded order, resumable checkpoints."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import TrainingConfig
from training.model import GptOss
from training.packing import Sequences


@dataclass(slots=True)
class TrainingState:
    """Everything a step changes. `step` counts the steps taken."""

    model: GptOss
    optimizer: torch.optim.AdamW
    step: int = 0


@dataclass(frozen=True, slots=True)
class StepReport:
    step: int
    loss: float
    imbalance: float


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up to the peak, then half a cosine down to the final fraction of it at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    low = config.final_lr_fraction
    return config.learning_rate * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * progress)))


def new_state(config: TrainingConfig) -> TrainingState:
    """The first weights. Biases, norms and sinks do not decay."""
    model = GptOss(config.shape, seed=config.seed)
    decaying = [p for name, p in model.named_parameters() if p.dim() > 1 and not name.endswith("bias")]
    others = [p for name, p in model.named_parameters() if p.dim() <= 1 or name.endswith("bias")]
    groups = [
        {"params": decaying, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return TrainingState(model, torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True))


def prediction_loss(model: nn.Module, batch: Sequences) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy (nats) over the learnt tokens, 0 without any, and the router's load-balance term."""
    logits, imbalance = model(batch.tokens[:, :-1])
    targets = batch.tokens[:, 1:].masked_fill(~batch.learnt[:, 1:], -100)
    total = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    return total / batch.learnt[:, 1:].sum().clamp(min=1), imbalance


def batch_of(sequences: Sequences, config: TrainingConfig, step: int) -> Sequences:
    """The rows of one step. The seed decides each epoch's order; an incomplete last batch is left out."""
    batches = max(1, len(sequences) // config.batch_size)
    epoch, place = divmod(step, batches)
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
    order = torch.randperm(len(sequences), generator=generator)
    return sequences.rows(order[place * config.batch_size : (place + 1) * config.batch_size])


def train_step(state: TrainingState, batch: Sequences, config: TrainingConfig) -> StepReport:
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, state.step)
    loss, imbalance = prediction_loss(state.model, batch)
    state.optimizer.zero_grad(set_to_none=True)
    (loss + config.router_balance * imbalance).backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), config.gradient_clip)
    state.optimizer.step()
    state.step += 1
    return StepReport(state.step, loss.item(), imbalance.item())


@torch.no_grad()
def held_out_loss(model: nn.Module, sequences: Sequences, batch_size: int) -> float:
    """Mean cross-entropy (nats) per learnt token, over all sequences."""
    total, count = 0.0, 0
    for start in range(0, len(sequences), batch_size):
        batch = sequences.rows(slice(start, start + batch_size))
        learnt = int(batch.learnt[:, 1:].sum())
        total += prediction_loss(model, batch)[0].item() * learnt
        count += learnt
    return total / count


def save_state(state: TrainingState, config: TrainingConfig, path: Path) -> None:
    """Writes beside the old checkpoint and then replaces it, so that one whole checkpoint always exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "config": asdict(config),
            "step": state.step,
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
        },
        partial,
    )
    partial.replace(path)


def load_state(config: TrainingConfig, path: Path) -> TrainingState:
    """Raises ValueError if the checkpoint was written by a run with other numbers."""
    saved = torch.load(path, weights_only=True)
    if saved["config"] != asdict(config):
        raise ValueError(f"{path} belongs to a run with another configuration; remove it or choose another --run")
    state = new_state(config)
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.step = saved["step"]
    return state


def train(
    config: TrainingConfig, sequences: Sequences, checkpoint: Path, report: Callable[[StepReport], None]
) -> TrainingState:
    """Trains up to `config.steps`, from `checkpoint` if it exists, and saves there along the way."""
    state = load_state(config, checkpoint) if checkpoint.exists() else new_state(config)
    while state.step < config.steps:
        report(train_step(state, batch_of(sequences, config, state.step), config))
        if state.step % config.checkpoint_every == 0 or state.step == config.steps:
            save_state(state, config, checkpoint)
    return state
