"""Makes the embedded model from nothing: `python -m training.train --help`.

The run leaves its state under --run every so often; started again with the same numbers, it goes on.
"""

import time
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from training.config import TrainingConfig
from training.corpus import Document, documents
from training.export import export, load_exported
from training.loop import StepReport, held_out_loss, train
from training.model_card import write_model_card
from training.packing import Sequences, encode, pack
from training.sample import show_samples
from training.tokenizer import train_tokenizer

TOKENIZER_DOCUMENTS = 8_000
DEFAULTS = TrainingConfig()


def prepare(config: TrainingConfig) -> tuple[Tokenizer, Sequences, Sequences]:
    """The tokenizer, the sequences to train on, and those held out."""
    corpus = list(documents(config.documents, config.seed))
    trained = [text for index, text in enumerate(corpus) if index % config.held_out_every]
    texts = (document.prompt + document.completion for document in islice(trained, TOKENIZER_DOCUMENTS))
    tokenizer = train_tokenizer(texts, config.shape.vocab_size)

    def sequences(part: list[Document]) -> Sequences:
        return pack(encode(part, tokenizer), config.sequence_length)

    return tokenizer, sequences(trained), sequences(corpus[:: config.held_out_every])


def main(
    output: Annotated[Path, typer.Option(help="Where the checkpoint is written.")] = Path("engine/embedded"),
    run: Annotated[Path, typer.Option(help="Where the run keeps its state.")] = Path("runs/embedded"),
    steps: Annotated[int, typer.Option(help="Optimizer steps in all.")] = DEFAULTS.steps,
    batch_size: Annotated[int, typer.Option(help="Sequences per step.")] = DEFAULTS.batch_size,
    sequence_length: Annotated[int, typer.Option(help="Tokens per sequence.")] = DEFAULTS.sequence_length,
    document_count: Annotated[int, typer.Option("--documents", help="Documents to generate.")] = DEFAULTS.documents,
    seed: Annotated[int, typer.Option(help="Decides corpus, order and first weights.")] = DEFAULTS.seed,
    threads: Annotated[int, typer.Option(help="CPU threads; more only pay on an idle machine.")] = 1,
) -> None:
    """Trains the embedded model and exports it."""
    torch.set_num_threads(threads)
    config = TrainingConfig(
        steps=steps,
        batch_size=batch_size,
        sequence_length=sequence_length,
        documents=document_count,
        seed=seed,
    )
    console = Console()
    tokenizer, trained, held_out = prepare(config)
    learnt = int(trained.learnt.sum())
    console.print(f"{len(trained):,} sequences with {learnt:,} tokens to learn; {len(held_out):,} sequences held out")

    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=config.steps)

        def report(step: StepReport) -> None:
            progress.update(task, completed=step.step, description=f"loss {step.loss:.3f}")
            if step.step % config.checkpoint_every == 0:
                progress.console.print(f"step {step.step:,}: loss {step.loss:.3f}, router {step.imbalance:.2f}")

        state = train(config, trained, run / "checkpoint.pt", report)
    console.print(f"trained in {time.monotonic() - started:,.0f} s")

    export(state.model, tokenizer, output)
    loss = held_out_loss(load_exported(output), held_out, config.batch_size)
    write_model_card(output, config, loss)
    console.print(f"held-out loss of the exported model: {loss:.3f} nats per token")
    show_samples(output)


if __name__ == "__main__":
    typer.run(main)
