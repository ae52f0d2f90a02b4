"""The commands that talk to a server: chat, complete, bench."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.errors import ClientError, UsageError
from clients.options import ReasoningEffort
from clients.protocol import DEFAULT_URL

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Url = Annotated[str, typer.Option(envvar="CAROUSEL_URL", help="The server's address.")]
ApiKey = Annotated[str | None, typer.Option(envvar="CAROUSEL_API_KEY", help="The server's API key.")]
ModelName = Annotated[str | None, typer.Option("--model", help="The model, if the server has several.")]
MaxTokens = Annotated[int | None, typer.Option(help="Maximum length of the answer, in tokens.")]
Temperature = Annotated[float | None, typer.Option(help="0 always takes the likeliest token.")]
TopP = Annotated[float | None, typer.Option(help="Sample from the likeliest tokens that add up to this probability.")]
Seed = Annotated[int | None, typer.Option(help="Makes an answer repeatable.")]


@contextmanager
def clear_exit() -> Iterator[None]:
    """Ends the program with status 1 and one line on stderr for errors that a user can do something about. Characters
    missing from the output's encoding are written as question marks."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        yield
    except UnicodeDecodeError as error:
        typer.echo(f"carousel: the input is not text in {error.encoding}", err=True)
        raise typer.Exit(1) from error
    except ClientError as error:
        typer.echo(f"carousel: {error}", err=True)
        raise typer.Exit(1) from error


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; the server's defaults apply to the others."""
    return {name: value for name, value in options.items() if value is not None}


@app.command()
def chat(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: ModelName = None,
    system: Annotated[str | None, typer.Option(help="Instructions for the whole conversation.")] = None,
    tools: Annotated[
        Path | None, typer.Option(help="A JSON file with a list of tools in OpenAI's form; you type their results.")
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
    reasoning_effort: Annotated[ReasoningEffort | None, typer.Option(help="How much to think.")] = None,
) -> None:
    """Chat with a model; if piped, answer every line of input."""
    from clients.chat.conversation import Conversation
    from clients.chat.program import talk
    from clients.chat.tools_file import read_tools
    from clients.client import Carousel

    with clear_exit(), Carousel(url, api_key=api_key) as client:
        options = given(
            model=model,
            tools=None if tools is None else read_tools(tools),
            max_completion_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            reasoning_effort=reasoning_effort,
        )
        talk(Conversation(client, options, system=system))


@app.command()
def complete(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The text to continue; by default, standard input without its last line break."),
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: ModelName = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: Seed = None,
    stop: Annotated[list[str] | None, typer.Option(help="A text to stop before; may be given several times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as one line of JSON.")] = False,
) -> None:
    """Continue a text."""
    from clients.client import Carousel
    from clients.complete import complete

    options = given(model=model, max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop)
    with clear_exit(), Carousel(url, api_key=api_key) as client:
        if prompt is None:
            prompt = sys.stdin.read().removesuffix("\n")
        complete(client, prompt, options, as_json=as_json)


@app.command()
def bench(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    model: ModelName = None,
    concurrency: Annotated[
        str | None, typer.Option(help="Concurrent requests, one load each: 1,4,16 (default).")
    ] = None,
    request_rate: Annotated[str | None, typer.Option(help="Poisson arrivals a second instead: 0.5,1,2")] = None,
    num_prompts: Annotated[int | None, typer.Option(min=1, help="Requests per load.")] = None,
    warmup: Annotated[int, typer.Option(min=0, help="Requests that are sent first and not counted.")] = 4,
    input_len: Annotated[int, typer.Option(min=1, help="Length of a prompt, in tokens.")] = 256,
    output_len: Annotated[int, typer.Option(min=1, help="Length of an answer, in tokens.")] = 64,
    vocab_size: Annotated[int, typer.Option(min=11, help="Prompts consist of token ids below this.")] = 1000,
    ignore_eos: Annotated[bool, typer.Option(help="Answers of full length; not for OpenAI's own server.")] = True,
    dataset: Annotated[Path | None, typer.Option(help="Send a ShareGPT-style file's questions as chats.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of prompts and arrival times.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write the results as JSON.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a plot: .png, .svg, .pdf (needs matplotlib).")] = None,
) -> None:
    """Measure an OpenAI-compatible server under load."""
    import asyncio

    from clients.bench.load import Concurrency, Load, Rate
    from clients.bench.program import Plan
    from clients.bench.program import bench as run

    with clear_exit():
        if concurrency is not None and request_rate is not None:
            raise UsageError("give either --concurrency or --request-rate")
        loads: list[Load]
        if request_rate is not None:
            loads = [Rate(rate, seed) for rate in numbers("--request-rate", request_rate)]
        else:
            levels = [int(level) for level in numbers("--concurrency", concurrency or "1,4,16", whole=True)]
            if concurrency is None and num_prompts is not None:
                levels = [level for level in levels if level <= num_prompts]
            if num_prompts is not None and num_prompts < max(levels):
                raise UsageError(f"--num-prompts {num_prompts}: --concurrency {max(levels)} needs at least as many")
            loads = [Concurrency(level) for level in levels]
        plan = Plan(
            loads=loads,
            model=model,
            num_prompts=num_prompts,
            warmup=warmup,
            input_len=input_len,
            output_len=output_len,
            vocab_size=vocab_size,
            ignore_eos=ignore_eos,
            dataset=dataset,
            seed=seed,
        )
        asyncio.run(run(plan, url, api_key, output=output, picture=plot))


def numbers(option: str, text: str, *, whole: bool = False) -> list[float]:
    """Parses positive numbers, separated by commas. Raises UsageError.

    >>> numbers("--request-rate", "0.5, 2")
    [0.5, 2.0]
    """
    try:
        values = [float(int(part)) if whole else float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{option}: {text!r} is not a list of numbers like 1,4,16") from error
    if not all(0 < value < float("inf") for value in values):
        raise UsageError(f"{option}: must be above 0")
    return values


def main() -> None:
    app(prog_name="carousel")
