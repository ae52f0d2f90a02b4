"""The mean of several runs that started from one model: `python -m training.average --help`.

Runs that start from the same weights and read different documents end near each other, and each forgets different
things. The mean of their weights may be better than any of them, and is no larger (Wortsman et al., arXiv 2203.05482).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from tokenizers import Tokenizer

from training.export import export, read_shape
from training.model import GptOss


def average(checkpoints: Sequence[Path], model: GptOss) -> None:
    """Sets `model`'s weights to the mean of the runs' weights before rounding. Raises RuntimeError if the shapes
    differ."""
    runs = [torch.load(path, map_location="cpu", weights_only=True)["model"] for path in checkpoints]
    model.load_state_dict({name: sum(run[name] for run in runs) / len(runs) for name in runs[0]})


def main(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, each with a checkpoint.pt.")],
    like: Annotated[Path, typer.Option(help="A model that a run exported, for its shape and tokenizer.")],
    output: Annotated[Path, typer.Option(help="Where the checkpoint is written.")] = Path("engine/embedded"),
) -> None:
    """Exports the mean of several runs."""
    model = GptOss(read_shape(like))
    average([run / "checkpoint.pt" for run in runs], model)
    export(model, Tokenizer.from_file(str(like / "tokenizer.json")), output)


if __name__ == "__main__":
    typer.run(main)
