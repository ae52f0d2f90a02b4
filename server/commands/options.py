"""Parameters that several commands have: how each is read, and its help."""

from typing import Annotated

import typer

from engine.config import Dtype, KvCacheDtype, Quantization
from server.commands.choices import choice
from server.commands.sizes import parse_length, parse_size, parse_tokens

Model = Annotated[str, typer.Argument(help="A directory, a hub id like org/name, or 'embedded'.")]
Revision = Annotated[str | None, typer.Option(help="The hub model's branch, tag or commit.")]
DtypeOption = Annotated[
    Dtype, typer.Option(parser=choice(Dtype, auto="bfloat16", float="float32"), help="What is computed in.")
]
KvCacheDtypeOption = Annotated[
    KvCacheDtype,
    typer.Option(
        parser=choice(KvCacheDtype, fp8_e4m3="fp8"),
        help="What keys and values are kept in: as computed, or fp8 (e4m3), in half the memory.",
    ),
]
QuantizationOption = Annotated[
    Quantization,
    typer.Option(
        parser=choice(Quantization, mxfp4="none"),
        help="fp8: round attention's matrices and the unembedding to e4m3, half their bytes a token.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: the first GPU if there is one.")]
MaxModelLen = Annotated[
    int | None,
    typer.Option(
        parser=parse_length,
        metavar="<int>",
        help="Longest context, in tokens, like 8192 or 32K; what fits, if not given.",
    ),
]
MaxNumSeqs = Annotated[int | None, typer.Option(help="Requests that run at once; what fits, if not given.")]
MaxNumBatchedTokens = Annotated[
    int,
    typer.Option(parser=parse_tokens, metavar="<int>", help="Tokens of one step, prompts and answers together."),
]
GpuMemoryUtilization = Annotated[float, typer.Option(help="The share of all of a GPU's memory to use.")]
KvCacheMemoryBytes = Annotated[
    int | None,
    typer.Option(parser=parse_size, metavar="SIZE", help="Memory for keys and values, like 4G."),
]
ResidentExperts = Annotated[
    bool,
    typer.Option(
        "--resident-experts",
        help="Keep a bfloat16 copy of MXFP4 experts on the GPU, for faster prompts: 38 GB more for gpt-oss-20b.",
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="Log-probabilities that no batch changes, to the last bit. Slower, but not in bfloat16 on a CPU.",
    ),
]
EnforceEager = Annotated[
    bool,
    typer.Option(
        "--enforce-eager", help="No CUDA graphs, on a CPU no recorded steps: an earlier start, less memory, slower."
    ),
]
BlockSize = Annotated[int, typer.Option(help="Tokens of one cache page.")]
