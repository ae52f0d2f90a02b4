"""The `carousel` command. Flags that vLLM also has are named as in vLLM."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer

import engine
from clients.cli import app as clients
from engine.config import EngineConfig, LoadFormat
from server.commands.choices import choice
from server.commands.exits import clear_exit, heed_sigterm
from server.commands.options import (
    BlockSize,
    Deterministic,
    Device,
    DtypeOption,
    EnforceEager,
    GpuMemoryUtilization,
    KvCacheDtypeOption,
    KvCacheMemoryBytes,
    MaxModelLen,
    MaxNumBatchedTokens,
    MaxNumSeqs,
    Model,
    QuantizationOption,
    ResidentExperts,
    Revision,
)
from server.commands.plan import parse_card
from server.commands.sizes import parse_size
from server.logs import LogFormat, logging_as
from server.settings import ConfigFile, SettingsCommand, settings_commands, settings_of

app = typer.Typer(
    help="An inference server for gpt-oss-style models, and clients for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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


@app.command(cls=SettingsCommand)
def serve(
    model: Model = "embedded",
    config: ConfigFile = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes any free one.")] = 8000,
    served_model_name: Annotated[
        list[str] | None, typer.Option(help="Name of the model in requests; may be given several times.")
    ] = None,
    revision: Revision = None,
    dtype: DtypeOption = "bfloat16",
    device: Device = "auto",
    load_format: Annotated[
        LoadFormat,
        typer.Option(parser=choice(LoadFormat, safetensors="auto"), help="dummy: random weights, for measuring."),
    ] = "auto",
    max_model_len: MaxModelLen = None,
    max_num_seqs: MaxNumSeqs = None,
    max_num_batched_tokens: MaxNumBatchedTokens = 2048,
    max_waiting: Annotated[int, typer.Option(help="Requests that may wait in the queue.")] = 256,
    gpu_memory_utilization: GpuMemoryUtilization = 0.9,
    kv_cache_memory_bytes: KvCacheMemoryBytes = None,
    kv_cache_dtype: KvCacheDtypeOption = "auto",
    quantization: QuantizationOption = "none",
    resident_experts: ResidentExperts = False,
    block_size: BlockSize = 16,
    enable_prefix_caching: Annotated[bool, typer.Option(help="Reuse cached prefixes of earlier prompts.")] = True,
    deterministic: Deterministic = False,
    enforce_eager: EnforceEager = False,
    seed: Annotated[int, typer.Option(help="Default seed for requests without one, and for random weights.")] = 0,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            hide_input=True,
            help="An API key to accept; may be given several times. All users of the machine can see flags.",
        ),
    ] = None,
    api_key_file: Annotated[str | None, typer.Option(help="A file of API keys, one per line.")] = None,
    allowed_host: Annotated[list[str] | None, typer.Option(help="Additional host name to accept.")] = None,
    allowed_origin: Annotated[
        list[str] | None, typer.Option(help="A site whose pages may use the server, like https://example.com.")
    ] = None,
    request_timeout: Annotated[
        float, typer.Option(help="Time limit per request in seconds, queueing included; requests may ask for less.")
    ] = 3600.0,
    drain_timeout: Annotated[
        float, typer.Option(help="Seconds that running requests have to finish once the server is told to stop.")
    ] = 10.0,
    stall_timeout: Annotated[
        float, typer.Option(help="Seconds that a step may take before the engine counts as hung and is restarted.")
    ] = 120.0,
    max_engine_restarts: Annotated[
        int, typer.Option(help="Restarts of the engine in a row after which the server gives up and exits.")
    ] = 20,
    response_memory_bytes: Annotated[
        int,
        typer.Option(parser=parse_size, metavar="SIZE", help="Memory for kept answers of /v1/responses; 0 keeps none."),
    ] = 64 * 2**20,
    ignore_hosted_tools: Annotated[
        bool,
        typer.Option(
            "--ignore-hosted-tools",
            help="Leave hosted tools, like web_search, out of requests instead of refusing these.",
        ),
    ] = False,
    current_date: Annotated[
        str | None, typer.Option(help="Date to tell the model, YYYY-MM-DD; by default today.")
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="text for people, or json: one object per line.")] = "text",
    otlp_traces_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="OpenTelemetry collector to send traces to; needs carousel-llm[otel]."),
    ] = None,
) -> None:
    """Serve a model over HTTP."""
    from server.tracing import Tracing, check_propagators

    heed_sigterm()
    with logging_as(log_format, sys.stderr), clear_exit(log_format):
        check_propagators()

        from engine.process.supervision import Supervision
        from server.auth import Keys, check_variable, read_keys
        from server.commands.serve import bind, open_checkpoint, run
        from server.config import ServerConfig
        from server.hosts import is_loopback
        from server.origins import own_names

        check_variable(os.environ.get("CAROUSEL_API_KEY"))
        tracing = None if otlp_traces_endpoint is None else Tracing.to(otlp_traces_endpoint)
        settings = ServerConfig(
            served_model_names=tuple(served_model_name or [model]),
            host=host,
            port=port,
            keys=Keys.of([*(api_key or ()), *(read_keys(Path(api_key_file)) if api_key_file is not None else ())]),
            allowed_hosts=(*(() if is_loopback(host) else own_names()), *(allowed_host or ())),
            allowed_origins=tuple(allowed_origin or ()),
            request_seconds=request_timeout,
            drain_seconds=drain_timeout,
            stored_responses_bytes=response_memory_bytes,
            ignore_hosted_tools=ignore_hosted_tools,
            current_date=current_date,
        )
        supervision = Supervision(stall_seconds=stall_timeout, max_restarts=max_engine_restarts)
        engine_config = EngineConfig(
            model=Path(model),
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
            kv_cache_dtype=kv_cache_dtype,
            quantization=quantization,
            resident_experts=resident_experts,
            enable_prefix_caching=enable_prefix_caching,
            deterministic=deterministic,
            enforce_eager=enforce_eager,
            seed=seed,
        )
        bind(host, port).close()  # Fail before a download of hours, not after it.
        checkpoint = open_checkpoint(model, revision, engine_config)
        engine_config = replace(engine_config, model=checkpoint.directory)
        run(checkpoint, settings, engine_config, supervision, bind(host, port), tracing)


@app.command(cls=SettingsCommand)
def plan(
    model: Model = "embedded",
    config: ConfigFile = None,
    revision: Revision = None,
    card: Annotated[
        str | None,
        typer.Option(parser=parse_card, metavar="CARD", help="GPU to plan for, like h200; by default this machine."),
    ] = None,
    memory: Annotated[
        int | None, typer.Option(parser=parse_size, metavar="SIZE", help="The device's memory, like 80GiB.")
    ] = None,
    bandwidth: Annotated[
        int | None,
        typer.Option(parser=parse_size, metavar="SIZE", help="The memory's bandwidth in bytes per second, like 4.8TB."),
    ] = None,
    dtype: DtypeOption = "bfloat16",
    device: Device = "auto",
    max_model_len: MaxModelLen = None,
    max_num_seqs: MaxNumSeqs = None,
    max_num_batched_tokens: MaxNumBatchedTokens = 2048,
    gpu_memory_utilization: GpuMemoryUtilization = 0.9,
    kv_cache_memory_bytes: KvCacheMemoryBytes = None,
    kv_cache_dtype: KvCacheDtypeOption = "auto",
    quantization: QuantizationOption = "none",
    resident_experts: ResidentExperts = False,
    deterministic: Deterministic = False,
    enforce_eager: EnforceEager = False,
    block_size: BlockSize = 16,
) -> None:
    """Show what fits in memory and the best possible speed; no weights are needed."""
    from engine.checkpoint.hub import CONFIG_FILES, resolve_model
    from server.commands import plan as planning

    with clear_exit():
        engine_config = EngineConfig(
            model=resolve_model(model, revision=revision, files=CONFIG_FILES),
            dtype=dtype,
            device=device,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            page_size=block_size,
            gpu_memory_utilization=gpu_memory_utilization,
            kv_cache_memory_bytes=kv_cache_memory_bytes,
            kv_cache_dtype=kv_cache_dtype,
            quantization=quantization,
            resident_experts=resident_experts,
            deterministic=deterministic,
            enforce_eager=enforce_eager,
        )
        there = planning.choose_device(card, memory, bandwidth, device)
        typer.echo(planning.plan_text(engine_config, there))


@app.command("config", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def show_config(context: typer.Context) -> None:
    """Show every setting of `carousel serve` and its source, as a file for --config. Takes the same flags."""
    serve = settings_commands(context)["serve"]
    with serve.make_context("serve", context.args, parent=context.parent) as given:
        for setting in settings_of(cast(typer.Context, given)):
            typer.echo(setting)


@app.command()
def pull(model: Model, revision: Revision = None) -> None:
    """Download a model from the hub, or only what has changed; resumes an interrupted download."""
    from server.commands.pull import pull

    heed_sigterm()
    with logging_as("text", sys.stderr), clear_exit():
        typer.echo(pull(model, revision))


app.add_typer(clients)


def main() -> None:
    app(prog_name="carousel")
