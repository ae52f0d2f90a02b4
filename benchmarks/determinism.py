"""What `--deterministic` costs: tokens a second of the embedded model with it and without.

python -m benchmarks.determinism
"""

from time import perf_counter

from engine.checkpoint.hub import EMBEDDED
from engine.config import EngineConfig
from engine.engine import Engine
from engine.request import Request, SamplingParams
from engine.start import start_engine

WRITTEN = 32
"""Tokens of an answer that is timed."""
READ = 256
"""Tokens of a prompt that is timed."""
RUNS = 7


def seconds(engine: Engine, count: int, prompt: int, max_tokens: int) -> float:
    """How long `count` requests take together."""
    sampling = SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True)
    for number in range(count):
        engine.add(Request(id=str(number), prompt_token_ids=(number + 5,) * prompt, sampling=sampling))
    began = perf_counter()
    while not engine.idle:
        engine.step()
    return perf_counter() - began


def main() -> None:
    engines = [
        start_engine(
            EngineConfig(model=EMBEDDED, device="cpu", max_num_seqs=16, max_model_len=1024, deterministic=deterministic)
        ).engine
        for deterministic in (False, True)
    ]
    print("tokens a second     default  deterministic  ratio")
    for count, prompt, max_tokens in ((1, 1, WRITTEN), (8, 1, WRITTEN), (16, 1, WRITTEN), (1, READ, 1), (8, READ, 1)):
        tokens = count * max(prompt, max_tokens)
        runs = [[seconds(engine, count, prompt, max_tokens) for engine in engines] for _ in range(RUNS)]
        default, deterministic = (tokens / min(times) for times in zip(*runs, strict=True))
        what = f"{'read' if prompt > 1 else 'write'}, {count} at once"
        print(f"{what:18}  {default:7.0f}  {deterministic:13.0f}  {deterministic / default:5.2f}")


if __name__ == "__main__":
    main()
