"""transformers with the same shape on the same GPU, in bfloat16."""

import statistics
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import torch

from benchmarks.gpu_workloads import Workload, config_json
from benchmarks.isolated import Record
from benchmarks.stopwatch import Stopwatch

WRITTEN = 32
"""Timed steps."""
CHUNK = 512
"""Tokens that are read at once of the prompt before a decode."""


@torch.inference_mode()
def measure(workload: Workload, device: torch.device, seconds: float) -> Iterator[Record]:
    """Random weights in bfloat16, experts too: 42 GB for 20b. Decoding after a prompt, then prompts alone. The prompt
    is read once and its cache repeated; the tokens are random, so the requests go to different experts."""
    from transformers import DynamicCache, GptOssConfig, GptOssForCausalLM

    began = perf_counter()
    if device.type == "cuda" and (needed := resident_bytes(workload)) > torch.cuda.mem_get_info()[0]:
        yield {"what": "start", "left_out": f"{needed / 2**30:.0f} GiB of bfloat16 weights do not fit"}
        return
    config = GptOssConfig(**config_json(workload.model))
    torch.set_default_dtype(torch.bfloat16 if workload.dtype == "bfloat16" else torch.float32)
    with device:
        model: Any = GptOssForCausalLM(config)
    model.eval()
    torch.set_default_dtype(torch.float32)
    ways = {kind: getattr(model.config, f"_{kind}_implementation", "unknown") for kind in ("attn", "experts")}
    yield {"what": "start", "seconds": perf_counter() - began} | ways

    def run(tokens: torch.Tensor, cache: Any) -> None:
        logits = model(tokens, past_key_values=cache, logits_to_keep=1).logits
        logits[:, -1].argmax(dim=-1).tolist()

    def draw(rows: int, length: int) -> torch.Tensor:
        return torch.randint(workload.model.vocab_size, (rows, length), device=device)

    def decode(batch: int) -> Record:
        cache = DynamicCache(config=config)
        for chunk in draw(1, workload.peer_context).split(CHUNK, dim=1):
            run(chunk, cache)
        cache.batch_repeat_interleave(batch)
        first, *tokens = draw(batch, 1 + WRITTEN).split(1, dim=1)
        run(first, cache)
        watch, times = Stopwatch(), []
        for token in tokens:
            run(token, cache)
            times.append(watch.lap())
        asked: Record = {"what": "decode", "requests": batch, "context": workload.peer_context}
        return asked | {"mean_seconds": statistics.mean(times)} | speed(batch, times)

    def prefill(length: int) -> Record:
        times = []
        for _ in range(4):
            tokens, watch = draw(1, length), Stopwatch()
            run(tokens, DynamicCache(config=config))
            times.append(watch.lap())
        return {"what": "prefill", "tokens": length} | speed(length, times[1:])

    for what, measured, sizes in (
        ("decode", decode, workload.peer_batches),
        ("prefill", prefill, workload.peer_prefills),
    ):
        for size in sizes:
            if perf_counter() - began > seconds:
                yield {"what": what, "left_out": f"{size} and what follows: {seconds:.0f} seconds are over"}
                return
            yield measured(size)


def speed(tokens: int, times: list[float]) -> Record:
    middle = statistics.median(times)
    return {"seconds": middle, "tokens_per_second": tokens / middle}


def resident_bytes(workload: Workload) -> int:
    """The bytes of the weights in bfloat16, nearly all in the experts' three matrices."""
    model = workload.model
    return 2 * 3 * model.num_layers * model.num_experts * model.hidden_size * model.intermediate_size
