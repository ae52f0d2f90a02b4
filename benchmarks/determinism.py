"""`--deterministic` on this device: are the bits the same in any batch, and what does it cost?

python -m benchmarks.determinism [--device cuda]
"""

import argparse
from time import perf_counter

from engine.checkpoint.hub import EMBEDDED
from engine.config import EngineConfig
from engine.engine import Engine
from engine.request import Request, SamplingParams, TokenEvent
from engine.start import start_engine

WRITTEN = 32
"""Tokens of a timed answer."""
READ = 256
"""Tokens of a timed prompt."""
RUNS = 7


PROMPTS = (3, 150, 17, 64, 300, 129)
"""Lengths of the prompts whose answers are compared, in tokens."""


def start(device: str, *, deterministic: bool, max_num_batched_tokens: int = 2048) -> Engine:
    """Starts an engine with the embedded model."""
    config = EngineConfig(
        model=EMBEDDED,
        device=device,
        max_num_seqs=16,
        max_model_len=1024,
        max_num_batched_tokens=max_num_batched_tokens,
        deterministic=deterministic,
        enable_prefix_caching=False,
    )
    return start_engine(config).engine


def answers(engine: Engine, requests: list[Request]) -> dict[str, list[TokenEvent]]:
    """Runs the requests together. Returns every event of each."""
    got: dict[str, list[TokenEvent]] = {request.id: [] for request in requests}
    for request in requests:
        engine.add(request)
    while not engine.idle:
        for event in engine.step():
            got[event.request_id].append(event)
    return got


def bits_agree(device: str) -> bool:
    """Whether requests get the same tokens and log-probabilities, to the last bit, alone as together in chunks."""
    sampling = SamplingParams(temperature=1.0, seed=1, logprobs=5, max_tokens=WRITTEN, ignore_eos=True)
    requests = [
        Request(
            id=str(length), prompt_token_ids=tuple((7 * i + length) % 200 for i in range(length)), sampling=sampling
        )
        for length in PROMPTS
    ]
    whole, chunked = start(device, deterministic=True), start(device, deterministic=True, max_num_batched_tokens=37)
    alone = {request.id: answers(whole, [request])[request.id] for request in requests}
    return answers(whole, requests) == alone == answers(chunked, requests)


def seconds(engine: Engine, count: int, prompt: int, max_tokens: int) -> float:
    """The time of `count` requests together."""
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
    for number in range(count):
        engine.add(Request(id=str(number), prompt_token_ids=(number + 5,) * prompt, sampling=sampling))
    began = perf_counter()
    while not engine.idle:
        engine.step()
    return perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    print(f"bits on {device}: {'the same' if bits_agree(device) else 'NOT THE SAME'} alone, together, in chunks")
    engines = [start(device, deterministic=deterministic) for deterministic in (False, True)]
    print("tokens a second     default  deterministic  ratio")
    for count, prompt, max_tokens in ((1, 1, WRITTEN), (8, 1, WRITTEN), (16, 1, WRITTEN), (1, READ, 1), (8, READ, 1)):
        tokens = count * max(prompt, max_tokens)
        runs = [[seconds(engine, count, prompt, max_tokens) for engine in engines] for _ in range(RUNS)]
        default, deterministic = (tokens / min(times) for times in zip(*runs, strict=True))
        what = f"{'read' if prompt > 1 else 'write'}, {count} at once"
        print(f"{what:18}  {default:7.0f}  {deterministic:13.0f}  {deterministic / default:5.2f}")


if __name__ == "__main__":
    main()
