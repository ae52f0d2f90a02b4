"""vLLM's flags that do not exist here: dropped if they ask for what is always so, otherwise refused with advice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import ConfigError

ONE_DEVICE = "one device serves the whole model; --device selects it, `carousel plan` shows what fits"
GRAPHS = "sizes of CUDA graphs are chosen at start; --enforce-eager runs without graphs"
TLS = "leave TLS to a proxy in front of the server"
NO_TEXT_IN_LOG = "the log has a line for each request, and never prompts or answers"


@dataclass(frozen=True, slots=True)
class ForeignFlag:
    """`names` are the flag's spellings, `says` explains what applies here instead.

    `values` is a pattern of the values that ask for what is always so. None: there are none, and the flag is refused.
    Empty: the flag is a switch that asks for it.
    """

    names: str
    says: str
    values: str | None = None

    @property
    def takes_value(self) -> bool:
        return bool(self.values)


TABLE = (
    ForeignFlag("--model", "the model is the argument: carousel serve MODEL"),
    ForeignFlag("--download-dir", "set HF_HUB_CACHE in the environment to the directory for models"),
    ForeignFlag("--hf-token", "set HF_TOKEN in the environment, or `hf auth login`"),
    ForeignFlag("--trust-remote-code", "models of gpt-oss's architecture need no code of their own", ""),
    ForeignFlag("--tokenizer", "put yours into the model's directory, as tokenizer.json"),
    ForeignFlag("--tokenizer-mode", "the tokenizer is the tokenizer.json in the model's directory", "auto|hf"),
    ForeignFlag("--chat-template", "put yours into the model's directory, as chat_template.jinja"),
    ForeignFlag("--chat-template-content-format", "both strings and lists of parts are accepted", "auto"),
    ForeignFlag("--generation-config", "generation_config.json has the defaults for requests", "auto"),
    ForeignFlag("--override-generation-config", "change generation_config.json in the model's directory"),
    ForeignFlag("--enable-auto-tool-choice", "the model may call whatever tools a request offers", ""),
    ForeignFlag("--tool-call-parser", "calls are read as gpt-oss writes them", "openai|gpt-oss"),
    ForeignFlag("--exclude-tools-when-tool-choice-none", "with tool_choice none the model sees no tools", ""),
    ForeignFlag("--tool-server", "the server runs no tools; clients make the calls"),
    ForeignFlag("--enable-reasoning", "reasoning is always separate from the answer", ""),
    ForeignFlag("--reasoning-parser", "reasoning is read as gpt-oss writes it", "openai_gptoss|GptOss|gpt-oss"),
    ForeignFlag("--guided-decoding-backend", "llguidance makes structured output", "auto|guidance"),
    ForeignFlag("--enable-prompt-tokens-details", "the usage always has prompt_tokens_details", ""),
    ForeignFlag("--enable-request-id-headers", "every answer has an x-request-id", ""),
    ForeignFlag("--tensor-parallel-size -tp", ONE_DEVICE, "1"),
    ForeignFlag("--pipeline-parallel-size -pp", ONE_DEVICE, "1"),
    ForeignFlag("--data-parallel-size -dp", "start a server for each GPU, with --device cuda:N, behind a proxy", "1"),
    ForeignFlag("--enable-expert-parallel", "one device has all the experts", ""),
    ForeignFlag("--disable-custom-all-reduce", "one device has nothing to reduce", ""),
    ForeignFlag("--async-scheduling", "it is always on for a GPU, and would gain nothing on a CPU", ""),
    ForeignFlag("--no-async-scheduling", "on a GPU a step is launched before the last one is read; leave it out"),
    ForeignFlag("--enable-chunked-prefill", "long prompts are always computed in chunks", ""),
    ForeignFlag("--no-enable-chunked-prefill", "up to --max-num-batched-tokens are computed at once; raise it"),
    ForeignFlag("--swap-space", "nothing is swapped; preempted requests are recomputed", ".*"),
    ForeignFlag("--cpu-offload-gb", "all weights are on the device; `carousel plan` shows what fits", "0"),
    ForeignFlag("--stream-interval", "tokens are sent as they come", "1"),
    ForeignFlag("--cuda-graph-sizes --cudagraph-capture-sizes --max-cudagraph-capture-size", GRAPHS),
    ForeignFlag("--compilation-config", GRAPHS),
    ForeignFlag("--speculative-config", "there is no speculative decoding; leave it out"),
    ForeignFlag("--enable-lora --lora-modules", "adapters are not served; merge yours into the model"),
    ForeignFlag("--disable-log-requests --no-enable-log-requests", NO_TEXT_IN_LOG, ""),
    ForeignFlag("--enable-log-requests --enable-log-outputs", NO_TEXT_IN_LOG),
    ForeignFlag("--disable-log-stats", "statistics are in /metrics, not in the log", ""),
    ForeignFlag("--uvicorn-log-level", "each request has one line in the log, whatever the level; leave it out"),
    ForeignFlag(
        "--disable-uvicorn-access-log",
        "each request has one line in the log; with --log-format json its event is request",
    ),
    ForeignFlag("--root-path", "let the proxy strip its prefix from the path"),
    ForeignFlag("--uds", "the server listens on --host and --port only"),
    ForeignFlag("--ssl-certfile --ssl-keyfile --ssl-ca-certs --ssl-cert-reqs", TLS),
    ForeignFlag("--allowed-origins", "give --allowed-origin once for each site; there is no wildcard"),
)
FLAGS = {name: flag for flag in TABLE for name in flag.names.split()}


def without_foreign(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line without the foreign flags that are not needed, and for each of these a line that says why.

    Raises ConfigError for a foreign flag that asks for anything else.

    >>> without_foreign(["embedded", "-tp", "1", "--port", "80"])[0]
    ['embedded', '--port', '80']
    """
    waiting, kept, lines = list(reversed(arguments)), [], []
    while waiting:
        argument = waiting.pop()
        if argument == "--":
            kept += [argument, *reversed(waiting)]
            break
        name, given, value = argument.partition("=")
        flag = FLAGS.get(name)
        if flag is None:
            kept.append(argument)
            continue
        if flag.takes_value and not given:
            value = waiting.pop() if waiting else ""
        written = f"{name} {value}".rstrip() if flag.takes_value else name
        if flag.values is None or not re.fullmatch(flag.values, value):
            raise ConfigError(f"{written} is not accepted: {flag.says}")
        lines.append(f"{written} is not needed: {flag.says}")
    return kept, lines
