"""Carousel's engine, in this process."""

import random
from pathlib import Path

import torch

from benchmarks.peers.case import Case, Setup, Speeds
from benchmarks.peers.worker import serve
from benchmarks.stopwatch import Stopwatch
from engine.config import EngineConfig
from engine.engine import Engine
from engine.request import Request, SamplingParams
from engine.start import start_engine

SLACK = 64
"""Tokens that a stream may write while the last prompts are still being read."""


class Carousel:
    """The whole engine, scheduler and sampler included: greedy answers of a fixed length."""

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(setup.threads)
        config = EngineConfig(
            model=Path(setup.checkpoint),
            device="cpu",
            quantization=setup.quantization,
            max_num_seqs=setup.streams,
            max_model_len=setup.length + SLACK,
            enable_prefix_caching=False,
        )
        self.engine = start_engine(config).engine

    def run(self, case: Case, seed: int) -> Speeds:
        streams = add_streams(self.engine, case, seed)
        watch = Stopwatch()
        waiting = set(streams)
        while waiting:
            waiting -= {event.request_id for event in self.engine.step()}
        reading = watch.lap()
        written = 0
        while written < case.streams * case.written:
            written += sum(len(event.token_ids) for event in self.engine.step())
        writing = watch.lap()
        for stream in streams:
            self.engine.abort(stream)
        return Speeds(prefill=case.streams * case.prompt / reading, decode=written / writing)


def add_streams(engine: Engine, case: Case, seed: int) -> list[str]:
    """Queues a case's requests; returns their ids."""
    numbers = random.Random(seed)
    vocab_size = engine.runner.model.config.vocab_size
    sampling = SamplingParams(temperature=0, max_tokens=case.written + SLACK, ignore_eos=True)
    streams = [f"stream-{i}" for i in range(case.streams)]
    for stream in streams:
        prompt = tuple(numbers.randrange(vocab_size) for _ in range(case.prompt))
        engine.add(Request(id=stream, prompt_token_ids=prompt, sampling=sampling))
    return streams


if __name__ == "__main__":
    serve(Carousel)
