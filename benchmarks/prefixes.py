"""How soon the next turn of a conversation is answered with prefix caching and without, by turns in one process.

    python -m benchmarks.prefixes [--device cuda] [--work DIRECTORY]

It uses the random checkpoint of `benchmarks.cpu`, which is made unless it exists. A turn adds 40 tokens to the prompt;
its answer is one token.
"""

import argparse
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks.peers.checkpoint import WORK, make_checkpoint
from benchmarks.shapes import CPU_MODEL
from engine.config import EngineConfig
from engine.engine import Engine
from engine.request import Request, SamplingParams
from engine.start import start_engine

LENGTHS = (512, 4000)
TURN = 40
ROUNDS = 5


def start(checkpoint: Path, device: str, longest: int, *, keeps: bool) -> Engine:
    """Starts an engine with prefix caching or without."""
    config = EngineConfig(
        model=checkpoint, device=device, max_num_seqs=8, max_model_len=longest, enable_prefix_caching=keeps
    )
    return start_engine(config).engine


def seconds_to_first_token(engine: Engine, prompt: Sequence[int]) -> tuple[float, int]:
    """Seconds to a prompt's first token, and how many of the prompt's tokens were cached."""
    sampling = SamplingParams(temperature=0, max_tokens=1)
    began, cached = perf_counter(), 0
    engine.add(Request(id="asked", prompt_token_ids=tuple(prompt), sampling=sampling))
    while not engine.idle:
        cached += sum(event.cached_tokens for event in engine.step())
    return perf_counter() - began, cached


def turns(engine: Engine, length: int, seed: int) -> tuple[float, float]:
    """Seconds to the first token of a new prompt, and of the next turn after it. Raises AssertionError if the next turn
    reused the wrong number of tokens."""
    numbers = random.Random(seed)
    prompt = [numbers.randrange(engine.runner.model.config.vocab_size) for _ in range(length + TURN)]
    first, _ = seconds_to_first_token(engine, prompt[:length])
    following, cached = seconds_to_first_token(engine, prompt)
    assert cached == (0 if engine.scheduler.prefixes is None else length), cached
    return first, following


def measure(checkpoint: Path, device: str, lengths: Sequence[int], rounds: int) -> list[str]:
    """The lines of a table of medians, with the range of the ratio."""
    kept, cold = (start(checkpoint, device, max(lengths) + TURN + 8, keeps=keeps) for keeps in (True, False))
    lines = [
        "| tokens before | first turn | next turn, prefix kept | next turn without | sooner |",
        "|---|---|---|---|---|",
    ]
    for length in lengths:
        runs = [(*turns(kept, length, seed), turns(cold, length, seed)[1]) for seed in range(rounds)]
        first, following, without = (statistics.median(times) for times in zip(*runs, strict=True))
        ratios = sorted(cold_seconds / seconds for _, seconds, cold_seconds in runs)
        spread = f"**{statistics.median(ratios):.1f}** ({ratios[0]:.1f}–{ratios[-1]:.1f})"
        times = (f"{1000 * each:,.0f} ms" for each in (first, following, without))
        lines.append(f"| {length:,} | {' | '.join(times)} | {spread} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=WORK)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint = make_checkpoint(args.work / "checkpoint", CPU_MODEL)
    print("\n".join(measure(checkpoint, args.device, LENGTHS, ROUNDS)))


if __name__ == "__main__":
    main()
