"""The soak: `make soak`, or `python -m tests.soak TIER`.

It spends half of its time on the hash model, half on a real one. Exits with 1 if a gate does not hold.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import torch

from tests.soak.models import ModelName
from tests.soak.phase import Settings, soak
from tests.soak.planted import PLANTED

TIERS = {"90s": (90.0, 1), "30m": (1800.0, 8), "2h": (7200.0, 30)}
"""Seconds of both models together, and how often each model's engine is killed."""


async def main(arguments: argparse.Namespace) -> int:
    models: list[ModelName] = [arguments.model] if arguments.model else list(get_args(ModelName))
    seconds, kills = TIERS[arguments.tier]
    settings = Settings(
        seconds=(arguments.seconds or seconds) / len(models),
        bug=arguments.plant,
        until_caught=arguments.until_caught,
        kills=kills if arguments.kills is None else arguments.kills,
        seed=arguments.seed,
    )
    held = True
    for model in models:
        with TemporaryDirectory(prefix="soak-") as directory:
            held &= await soak(model, settings, Path(directory))
    return 0 if held else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("tier", nargs="?", choices=TIERS, default="90s")
    parser.add_argument("--seconds", type=float, help="instead of a tier's time")
    parser.add_argument("--model", choices=get_args(ModelName), help="only this model")
    parser.add_argument("--kills", type=int, help="SIGKILLs of each model's engine, instead of a tier's")
    parser.add_argument("--plant", choices=["none", *PLANTED], default="none", help="a bug that must be found")
    parser.add_argument("--until-caught", action="store_true", help="end with the first failure")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(asyncio.run(main(parse())))
