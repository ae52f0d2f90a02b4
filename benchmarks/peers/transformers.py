"""transformers' `GptOssForCausalLM`, with experts unpacked to bfloat16 and its default cache."""

import torch
from transformers import DynamicCache, GptOssForCausalLM
from transformers.utils import logging

from benchmarks.peers.case import Case, Setup, Speeds
from benchmarks.peers.worker import serve
from benchmarks.stopwatch import Stopwatch

CHUNK = 512
"""Tokens of a prompt that are read at once: 2,048 at once take 1.7 times as long."""


class Transformers:
    """The model alone, without `generate`: its input tokens are random, and none is sampled."""

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(setup.threads)
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.model = GptOssForCausalLM.from_pretrained(setup.checkpoint, dtype=torch.bfloat16)

    @torch.inference_mode()
    def run(self, case: Case, seed: int) -> Speeds:
        generator = torch.Generator().manual_seed(seed)
        shape = case.streams, case.prompt + case.written
        tokens = torch.randint(0, self.model.config.vocab_size, shape, generator=generator)
        cache = DynamicCache(config=self.model.config)
        watch = Stopwatch()
        for chunk in tokens[:, : case.prompt].split(CHUNK, dim=1):
            self.model(chunk, past_key_values=cache, logits_to_keep=1)
        reading = watch.lap()
        for token in tokens[:, case.prompt :].split(1, dim=1):
            self.model(token, past_key_values=cache)
        writing = watch.lap()
        return Speeds(prefill=case.streams * case.prompt / reading, decode=case.streams * case.written / writing)


if __name__ == "__main__":
    serve(Transformers)
