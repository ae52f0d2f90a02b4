"""Makes the embedded model, from nothing or from an earlier one: `python -m training.train --help`.

The run saves its state under --run at intervals; started again with the same settings, it resumes. Without options it
starts from nothing. On two cores with instructions for bfloat16 (AMX) it takes less than three hours (the model card
gives its time and scores), on others, in float32, about four times as long; `--device cuda` does the same on a GPU.
"""

import csv
import os
import shutil
import signal
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import multiprocessing

from training.config import TrainingConfig
from training.corpus import documents
from training.export import export, load_exported
from training.loop import CPU, StepReport, held_out_loss, train
from training.model import GptOss
from training.packing import Encoded, encode
from training.team import ALONE, join
from training.tokenizer import train_tokenizer

TOKENIZER_DOCUMENTS = 12_000
DEFAULTS = TrainingConfig()
PYTHON_HEADER = Path(sysconfig.get_path("include")) / "Python.h"
CAN_COMPILE = shutil.which(os.environ.get("CXX", "g++")) is not None and PYTHON_HEADER.exists()
"""Whether torch.compile has what it needs."""
LOG_COLUMNS = ("step", "tokens", "seconds", "training loss", "held-out loss")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products in bfloat16, as every GPU; in float32, a CPU without them is
    many times faster."""
    if device != CPU:
        return True
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


@dataclass(frozen=True, slots=True)
class Files:
    """The model that a run begins with, the folder of its state, tokenizer and losses.csv, and where it exports."""

    output: Path
    run: Path
    begin: Path | None


def tokenizer_of(config: TrainingConfig, files: Files) -> Tokenizer:
    """The tokenizer of the model to begin with; else the run's own, which is made once at its start: the weights would
    not fit the tokenizer of a corpus that has changed since."""
    if files.begin is not None:
        return Tokenizer.from_file(str(files.begin / "tokenizer.json"))
    kept = files.run / "tokenizer.json"
    if not kept.exists():
        texts = (document.text for document in documents(TOKENIZER_DOCUMENTS, config.seed))
        kept.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=files.run) as folder:  # Each process makes the same, none reads half a file.
            made = Path(folder) / kept.name
            train_tokenizer(texts, config.shape.vocab_size).save(str(made))
            made.replace(kept)
    return Tokenizer.from_file(str(kept))


def prepare(config: TrainingConfig, files: Files) -> tuple[Tokenizer, Encoded, Encoded]:
    """The tokenizer, the documents to train on, and the held-out documents."""
    tokenizer = tokenizer_of(config, files)
    longest = config.shape.max_position
    trained = encode(documents(config.documents, config.seed), tokenizer, longest)
    return tokenizer, trained, encode(documents(config.held_out, config.seed, held_out=True), tokenizer, longest)


class Log:
    """Appends to losses.csv and measures the held-out loss at every checkpoint, the last at step `end`."""

    def __init__(self, path: Path, held_out: Encoded, config: TrainingConfig, end: int) -> None:
        self._path, self._held_out, self._config, self._end = path, held_out, config, end
        self._tokens = 0
        self._seconds = 0.0
        self._losses: list[float] = []
        if path.exists():
            with path.open() as lines:
                for last in csv.DictReader(lines):
                    self._tokens, self._seconds = int(last["tokens"]), float(last["seconds"])
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(",".join(LOG_COLUMNS) + "\n")
        self._started = time.monotonic() - self._seconds

    def add(self, step: StepReport, model: GptOss) -> str | None:
        """Counts a step. At a checkpoint, writes a line and returns it."""
        self._tokens += step.tokens
        self._losses.append(step.loss)
        if step.step % self._config.checkpoint_every and step.step != self._end:
            return None
        mean = sum(self._losses) / len(self._losses)
        self._losses = []
        held_out = held_out_loss(model, self._held_out, self._config.batch_tokens)
        line = f"{step.step},{self._tokens},{time.monotonic() - self._started:.0f},{mean:.4f},{held_out:.4f}"
        with self._path.open("a") as log:
            log.write(line + "\n")
        return line


@dataclass(frozen=True, slots=True)
class Place:
    """What trains: `processes` on CPU cores, which find each other at `meeting`, or one on a GPU.

    `compiles`: torch.compile fuses elementwise operations into few passes.
    """

    device: torch.device
    processes: int
    meeting: Path
    compiles: bool


def take_part(rank: int, place: Place, config: TrainingConfig, stop: int | None, files: Files) -> None:
    """One process of a run. The first process reports progress and exports the model."""
    # Torch sends SIGINT to processes whose parent has died, which a run in the background would ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    torch.compiler.set_stance("default" if place.compiles else "force_eager")
    team = join(rank, place.processes, place.meeting) if place.processes > 1 else ALONE
    console = Console(quiet=rank > 0)
    tokenizer, trained, held_out = prepare(config, files)
    learnt = int(trained.learnt.sum())
    console.print(f"{len(trained):,} documents, {len(trained.tokens):,} tokens, {learnt:,} of them to learn")

    log = Log(files.run / "losses.csv", held_out, config, config.last_step(stop)) if rank == 0 else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=config.steps)

        def report(step: StepReport, model: GptOss) -> None:
            progress.update(task, completed=step.step, description=f"loss {step.loss:.3f}")
            if log is not None and (line := log.add(step, model)):
                progress.console.print(line)

        start = None if files.begin is None else load_exported(files.begin)
        state = train(config, trained, files.run / "checkpoint.pt", report, start, stop, team, place.device)

    if rank == 0:
        export(state.model, tokenizer, files.output)
        loss = held_out_loss(load_exported(files.output), held_out, config.batch_tokens)
        console.print(f"held-out loss of the exported model: {loss:.3f} nats per token")


def main(
    output: Annotated[Path, typer.Option(help="Where the checkpoint is written.")] = Path("engine/embedded"),
    run: Annotated[Path, typer.Option(help="Where the run keeps its state and losses.csv.")] = Path("runs/embedded"),
    begin: Annotated[Path | None, typer.Option("--from", help="A checkpoint to begin with.")] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps in all.")] = DEFAULTS.steps,
    stop: Annotated[int | None, typer.Option(help="End after this step, with the rates of all --steps.")] = None,
    batch_tokens: Annotated[int, typer.Option(help="Tokens per step and process.")] = DEFAULTS.batch_tokens,
    document_count: Annotated[int, typer.Option("--documents", help="Documents to generate.")] = DEFAULTS.documents,
    seed: Annotated[int, typer.Option(help="Seed of corpus, order and first weights.")] = DEFAULTS.seed,
    processes: Annotated[int, typer.Option(help="Each reads its own batches on its own core.")] = 2,
    device: Annotated[str, typer.Option(help="On a GPU, one process reads every batch.")] = "cpu",
    compiles: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Fuse elementwise operations; needs a C++ compiler.")
    ] = CAN_COMPILE,
) -> None:
    """Trains the embedded model and exports it."""
    on = torch.device(device)
    if on != CPU:
        batch_tokens, processes = batch_tokens * processes, 1
    config = TrainingConfig(
        steps=steps,
        batch_tokens=batch_tokens,
        documents=document_count,
        seed=seed,
        bfloat16=multiplies_bfloat16(on),
    )
    if begin is not None:
        config = config.gentler()
    with TemporaryDirectory() as folder:
        together = (Place(on, processes, Path(folder) / "meeting", compiles), config, stop, Files(output, run, begin))
        if processes == 1:
            take_part(0, *together)
        else:
            multiprocessing.spawn(take_part, together, nprocs=processes)  # type: ignore[attr-defined, no-untyped-call]


if __name__ == "__main__":
    typer.run(main)
