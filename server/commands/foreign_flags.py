"""vLLM's flags that are not flags here: left out where they ask for what holds anyway, else refused with what to do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import ConfigError

ONE_DEVICE = "one device serves the whole model; --device says which, `carousel plan` what fits"
GRAPHS = "CUDA graphs are captured for sizes that are chosen at start; --enforce-eager is without them"
TLS = "TLS is the task of a proxy in front of the server"
NO_TEXT_IN_LOG = "the log has a line for each request, and never what was asked or answered"


@dataclass(frozen=True, slots=True)
class ForeignFlag:
    """`names` are how it is written, `says` is what holds here.

    `values` is a pattern of the values that ask for what holds anyway. None: none does, and the flag is refused. Empty:
    the flag is a switch, and asks for it.
    """

    names: str
    says: str
    values: str | None = None

    @property
    def takes_value(self) -> bool:
        return bool(self.values)


TABLE = (
    ForeignFlag("--model", "the model is the argument: carousel serve MODEL"),
    ForeignFlag("--download-dir", "set HF_HUB_CACHE in the environment to the directory that models go to"),
    ForeignFlag("--hf-token", "set HF_TOKEN in the environment, or `hf auth login`"),
    ForeignFlag("--trust-remote-code", "models of gpt-oss's architecture need no code of their own", ""),
    ForeignFlag("--tokenizer", "put yours into the model's directory, as tokenizer.json"),
    ForeignFlag("--tokenizer-mode", "the tokenizer is the tokenizer.json in the model's directory", "auto|hf"),
    ForeignFlag("--chat-template", "put yours into the model's directory, as chat_template.jinja"),
    ForeignFlag("--chat-template-content-format", "texts and lists of parts are both taken", "auto"),
    ForeignFlag("--generation-config", "generation_config.json holds for what requests leave out", "auto"),
    ForeignFlag("--override-generation-config", "change generation_config.json in the model's directory"),
    ForeignFlag("--enable-auto-tool-choice", "the model may call whatever tools a request offers", ""),
    ForeignFlag("--tool-call-parser", "calls are read as gpt-oss writes them", "openai|gpt-oss"),
    ForeignFlag("--exclude-tools-when-tool-choice-none", "with tool_choice none the model is shown no tools", ""),
    ForeignFlag("--tool-server", "the server runs no tools: whoever asks makes the calls"),
    ForeignFlag("--enable-reasoning", "reasoning always comes apart from the answer", ""),
    ForeignFlag("--reasoning-parser", "reasoning is read as gpt-oss writes it", "openai_gptoss|GptOss|gpt-oss"),
    ForeignFlag("--guided-decoding-backend", "structured output is llguidance's", "auto|guidance"),
    ForeignFlag("--enable-prompt-tokens-details", "the usage always has prompt_tokens_details", ""),
    ForeignFlag("--enable-request-id-headers", "every answer has an x-request-id", ""),
    ForeignFlag("--tensor-parallel-size -tp", ONE_DEVICE, "1"),
    ForeignFlag("--pipeline-parallel-size -pp", ONE_DEVICE, "1"),
    ForeignFlag("--data-parallel-size -dp", "start a server for each GPU, with --device cuda:N, behind a proxy", "1"),
    ForeignFlag("--enable-expert-parallel", "one device has all the experts", ""),
    ForeignFlag("--disable-custom-all-reduce", "one device has nothing to reduce", ""),
    ForeignFlag("--async-scheduling", "on a GPU it is always so, on a CPU it would gain nothing", ""),
    ForeignFlag("--no-async-scheduling", "on a GPU a step is launched before the last one is read; leave it out"),
    ForeignFlag("--enable-chunked-prefill", "long prompts are always computed in chunks", ""),
    ForeignFlag("--no-enable-chunked-prefill", "up to --max-num-batched-tokens are computed at once; raise it"),
    ForeignFlag("--swap-space", "nothing is swapped; what has no room in the cache is computed again", ".*"),
    ForeignFlag("--cpu-offload-gb", "all weights are on the device; `carousel plan` says what fits", "0"),
    ForeignFlag("--stream-interval", "tokens are sent as they come", "1"),
    ForeignFlag("--cuda-graph-sizes --cudagraph-capture-sizes --max-cudagraph-capture-size", GRAPHS),
    ForeignFlag("--compilation-config", GRAPHS),
    ForeignFlag("--speculative-config", "no tokens are guessed ahead; leave it out"),
    ForeignFlag("--enable-lora --lora-modules", "adapters are not served; merge yours into the model"),
    ForeignFlag("--disable-log-requests --no-enable-log-requests", NO_TEXT_IN_LOG, ""),
    ForeignFlag("--enable-log-requests --enable-log-outputs", NO_TEXT_IN_LOG),
    ForeignFlag("--disable-log-stats", "statistics are in /metrics, not in the log", ""),
    ForeignFlag("--uvicorn-log-level", "each request has one line in the log, whatever the level; leave it out"),
    ForeignFlag(
        "--disable-uvicorn-access-log",
        "each request has one line in the log; with --log-format json its event is request",
    ),
    ForeignFlag("--root-path", "let the proxy take its prefix off the path before it asks"),
    ForeignFlag("--uds", "the server listens on --host and --port only"),
    ForeignFlag("--ssl-certfile --ssl-keyfile --ssl-ca-certs --ssl-cert-reqs", TLS),
    ForeignFlag("--allowed-origins", "give --allowed-origin once for each site; there is no wildcard"),
)
FLAGS = {name: flag for flag in TABLE for name in flag.names.split()}


def without_foreign(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line without the flags that are not needed, and for each of them a line that says why.

    Raises ConfigError for one that asks for something else than what holds here.

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
            raise ConfigError(f"{written} is not taken: {flag.says}")
        lines.append(f"{written} is not needed: {flag.says}")
    return kept, lines
