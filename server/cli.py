"""The `carousel` command. Flags that vLLM has too go by vLLM's names."""

from typing import Annotated, Any

import typer

import engine
from clients.protocol import DEFAULT_URL
from engine.config import Dtype, EngineConfig, LoadFormat
from server.commands.exits import clear_exit
from server.commands.sizes import parse_size

app = typer.Typer(
    help="An inference server for gpt-oss-style models, and clients for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Argument(help="A directory, a hub id like org/name, or 'embedded'.")]
Revision = Annotated[str | None, typer.Option(help="The hub model's branch, tag or commit.")]
DtypeOption = Annotated[Dtype, typer.Option(help="What is computed and cached in.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: the first GPU if there is one.")]
MaxModelLen = Annotated[int | None, typer.Option(help="Longest context, in tokens; what fits, if not given.")]
MaxNumSeqs = Annotated[int | None, typer.Option(help="Requests that run at once; what fits, if not given.")]
MaxNumBatchedTokens = Annotated[int, typer.Option(help="Tokens of one step, prompts and answers together.")]
GpuMemoryUtilization = Annotated[float, typer.Option(help="The share of a GPU's memory to use.")]
KvCacheMemoryBytes = Annotated[
    int | None,
    typer.Option(parser=parse_size, metavar="SIZE", help="Memory for keys and values, like 4G."),
]
BlockSize = Annotated[int, typer.Option(help="Tokens of one cache page.")]
Url = Annotated[str, typer.Option(help="Where the server is.")]
ApiKey = Annotated[str | None, typer.Option(envvar="CAROUSEL_API_KEY", help="The server's key.")]
MaxTokens = Annotated[int | None, typer.Option(help="Longest answer, in tokens.")]
Temperature = Annotated[float | None, typer.Option(help="0 always takes the likeliest token.")]
TopP = Annotated[float | None, typer.Option(help="Draw from the likeliest tokens with this much probability.")]
Seed = Annotated[int | None, typer.Option(help="Makes an answer repeatable.")]
ModelName = Annotated[str | None, typer.Option("--model", help="The model, where a server has several.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"carousel {engine.__version__}")
        raise typer.Exit


@app.callback()
def carousel(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    model: Model = "embedded",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0: any free one.")] = 8000,
    served_model_name: Annotated[
        list[str] | None, typer.Option(help="A name requests may use; may be given several times.")
    ] = None,
    revision: Revision = None,
    dtype: DtypeOption = "bfloat16",
    device: Device = "auto",
    load_format: Annotated[LoadFormat, typer.Option(help="dummy: random weights, for measuring.")] = "auto",
    max_model_len: MaxModelLen = None,
    max_num_seqs: MaxNumSeqs = None,
    max_num_batched_tokens: MaxNumBatchedTokens = 2048,
    max_waiting: Annotated[int, typer.Option(help="Requests that may wait for their turn.")] = 256,
    gpu_memory_utilization: GpuMemoryUtilization = 0.9,
    kv_cache_memory_bytes: KvCacheMemoryBytes = None,
    block_size: BlockSize = 16,
    seed: Annotated[int, typer.Option(help="Of requests that bring none, and of random weights.")] = 0,
    current_date: Annotated[str | None, typer.Option(help="Pins the date models are told. YYYY-MM-DD")] = None,
) -> None:
    """Serve a model over HTTP."""
    from server.commands.serve import bind, open_checkpoint, run
    from server.config import ServerConfig

    with clear_exit():
        settings = ServerConfig(
            served_model_names=tuple(served_model_name or [model]),
            host=host,
            port=port,
            current_date=current_date,
        )
        checkpoint = open_checkpoint(model, revision, verify=load_format != "dummy")
        config = EngineConfig(
            model=checkpoint.directory,
            load_format=load_format,
            dtype=dtype,
            device=device,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            max_waiting=max_waiting,
            page_size=block_size,
            gpu_memory_utilization=gpu_memory_utilization,
            kv_cache_memory_bytes=kv_cache_memory_bytes,
            seed=seed,
        )
        listener = bind(host, port)
    run(checkpoint, settings, config, listener)


@app.command()
def plan(
    model: Model,
    revision: Revision = None,
    memory: Annotated[
        int | None,
        typer.Option(parser=parse_size, metavar="SIZE", help="A GPU's memory; this machine's, if not given."),
    ] = None,
    dtype: DtypeOption = "bfloat16",
    device: Device = "auto",
    max_model_len: MaxModelLen = None,
    max_num_seqs: MaxNumSeqs = None,
    max_num_batched_tokens: MaxNumBatchedTokens = 2048,
    gpu_memory_utilization: GpuMemoryUtilization = 0.9,
    kv_cache_memory_bytes: KvCacheMemoryBytes = None,
    block_size: BlockSize = 16,
) -> None:
    """Show what fits in memory, without loading weights."""
    from engine.checkpoint.hub import resolve_model
    from server.commands import plan as planning

    with clear_exit():
        config = EngineConfig(
            model=resolve_model(model, revision=revision),
            dtype=dtype,
            device=device,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            page_size=block_size,
            gpu_memory_utilization=gpu_memory_utilization,
            kv_cache_memory_bytes=kv_cache_memory_bytes,
        )
        there = planning.this_machine(device) if memory is None else planning.Device(memory, device != "cpu")
        typer.echo(planning.plan_text(config.model, config, there))


@app.command()
def chat(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: ModelName = None,
    system: Annotated[str | None, typer.Option(help="Instructions for the whole conversation.")] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
    reasoning_effort: Annotated[str | None, typer.Option(help="low, medium or high.")] = None,
) -> None:
    """Talk with a model; piped, every line of input is answered."""
    from clients.chat import chat
    from clients.client import Carousel

    options = given(
        model=model,
        max_completion_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        reasoning_effort=reasoning_effort,
    )
    with clear_exit(), Carousel(url, api_key=api_key) as client:
        chat(client, options, system=system)


@app.command()
def complete(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: ModelName = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
    stop: Annotated[list[str] | None, typer.Option(help="Ends the text; may be given several times.")] = None,
) -> None:
    """Continue a text."""
    from clients.client import Carousel
    from clients.complete import complete

    options = given(model=model, max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop)
    with clear_exit(), Carousel(url, api_key=api_key) as client:
        complete(client, prompt, options)


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: a server's own defaults hold for the others."""
    return {name: value for name, value in options.items() if value is not None}


def main() -> None:
    app(prog_name="carousel")
