"""The engine's own time a step, on the CPU: a model that does nothing decodes as on a GPU, in graphs and a step ahead.

    python -m benchmarks.host [--profile]

The rest is the scheduler, the step's inputs, the sampler's launches over a tiny vocabulary (on a GPU each is a kernel
and takes the host about as long as here), the handling of new tokens, and the message to the server. Times are CPU
times, so that other programs do not count. Beside them is the floor of the same step of 20b on an H200: as long as the
host's time is below the device's, the device does not wait for the host. `--profile` shows where the time goes.
"""

import argparse
import cProfile
import pstats
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time

import torch

from benchmarks.gpu_workloads import GPT_OSS_20B, SMOKE, write_config
from engine.buckets import decode_buckets
from engine.config import EngineConfig
from engine.engine import Engine
from engine.floors import DecodeFloor
from engine.process.compiling import Compiling
from engine.process.wire import frame
from engine.process.worker import settle_memory, step
from engine.request import Request, SamplingParams
from engine.start import start_engine

BATCHES = 1, 32, 256
CONTEXTS = 1024, 8192
STYLES = {
    "greedy": SamplingParams(temperature=0, ignore_eos=True),
    "temperature": SamplingParams(temperature=1.0, seed=1, ignore_eos=True),
    "penalties": SamplingParams(temperature=1.0, seed=1, ignore_eos=True, frequency_penalty=0.5),
}
H200_BYTES_PER_SECOND = 4.3e12
WARMING_STEPS, STEPS = 5, 50


def do_nothing(step: Callable[[], None]) -> Callable[[], None]:
    """Stands for a CUDA graph, whose launch costs the host some microseconds, whatever the graph contains."""
    return lambda: None


def start(batch: int, context: int, sampling: SamplingParams) -> Engine:
    """Starts an engine in which `requests` requests decode; their prompts were never computed."""
    tiny = replace(SMOKE.model, max_position=GPT_OSS_20B.model.max_position)
    with TemporaryDirectory() as directory:
        config = EngineConfig(
            model=write_config(Path(directory), tiny),
            load_format="dummy",
            dtype="float32",
            device="cpu",
            max_num_seqs=batch,
            max_model_len=context + 512,
            run_ahead=True,
        )
        engine = start_engine(config).engine
    pages = -(-(context + 512) // engine.scheduler.page_size)
    engine.runner.capture(do_nothing, decode_buckets(batch), pages, lambda done, total: None)
    assert engine.runner.graphs is not None
    engine.runner.graphs._logits.zero_()
    engine.runner.graphs._chosen.zero_()
    for number in range(batch):
        prompt = tuple((31 * number + i) % 90 for i in range(context))
        engine.add(Request(id=str(number), prompt_token_ids=prompt, sampling=sampling))
        sequence = engine.scheduler._admit()
        assert sequence is not None
        assert engine.scheduler._make_room(sequence, context, [])
        sequence.computed = context - 1
    return engine


def seconds_a_step(engine: Engine, steps: int) -> float:
    """The median time of a step."""
    times = []
    with Compiling(engine.grammars) as compiling:
        for _ in range(WARMING_STEPS + steps):
            began = thread_time()
            message = step(engine, compiling)
            frame(message)
            times.append(thread_time() - began)
            assert all(event.finish_reason is None for event in message.events)
    assert len(message.events) == len(engine.scheduler.running)
    return statistics.median(times[WARMING_STEPS:])


def measure(batch: int, context: int, style: str, steps: int = STEPS) -> dict[str, object]:
    """A step's host time beside the H200's floor."""
    seconds = seconds_a_step(start(batch, context, STYLES[style]), steps)
    floor = DecodeFloor(GPT_OSS_20B.model, EngineConfig(model=Path()), "mxfp4").step_bytes(batch, context)
    share = seconds * H200_BYTES_PER_SECOND / floor
    return {"requests": batch, "context": context, "style": style, "microseconds": seconds * 1e6, "of_floor": share}


def profile(batch: int, context: int, style: str) -> None:
    engine = start(batch, context, STYLES[style])
    seconds_a_step(engine, WARMING_STEPS)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(STEPS):
        engine.step()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="profile the largest batch")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settle_memory()
    if args.profile:
        profile(BATCHES[-1], CONTEXTS[-1], "temperature")
        return
    print("requests  context  style        microseconds  of an H200's floor")
    for style in STYLES:
        for context in CONTEXTS:
            for batch in BATCHES:
                got = measure(batch, context, style)
                print(f"{batch:8}  {context:7}  {style:11}  {got['microseconds']:12.0f}  {got['of_floor']:18.1%}")


if __name__ == "__main__":
    main()
