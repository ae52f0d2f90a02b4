"""Parameters that several commands share: their parsers and help texts."""

from typing import Annotated

import typer

from engine.config import Dtype, KvCacheDtype, Quantization
from server.commands.choices import choice
from server.commands.sizes import parse_length, parse_size, parse_tokens

Model = Annotated[str, typer.Argument(help="A directory, a hub id like org/name, or 'embedded'.")]
Revision = Annotated[str | None, typer.Option(help="The hub model's branch, tag or commit.")]
DtypeOption = Annotated[
    Dtype, typer.Option(parser=choice(Dtype, auto="bfloat16", float="float32"), help="Data type for computation.")
]
KvCacheDtypeOption = Annotated[
    KvCacheDtype,
    typer.Option(
        parser=choice(KvCacheDtype, fp8_e4m3="fp8"),
        help="Data type of the KV cache: as computed, or fp8 (e4m3) in half the memory.",
    ),
]
QuantizationOption = Annotated[
    Quantization,
    typer.Option(
        parser=choice(Quantization, mxfp4="none"),
        help="fp8: round attention's matrices and the unembedding to e4m3, which halves their size.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N, or auto: the first GPU if there is one.")]
MaxModelLen = Annotated[
    int | None,
    typer.Option(
        parser=parse_length,
        metavar="<int>",
        help="Longest context in tokens, like 8192 or 32K; by default what fits in memory.",
    ),
]
MaxNumSeqs = Annotated[int | None, typer.Option(help="Most requests to run at once; by default what fits in memory.")]
MaxNumBatchedTokens = Annotated[
    int,
    typer.Option(parser=parse_tokens, metavar="<int>", help="Most tokens per step, prompts and answers together."),
]
GpuMemoryUtilization = Annotated[float, typer.Option(help="Share of the GPU's total memory to use.")]
KvCacheMemoryBytes = Annotated[
    int | None,
    typer.Option(parser=parse_size, metavar="SIZE", help="Memory for the KV cache, like 4G."),
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
        help="Log-probabilities that are the same to the last bit in any batch. Slower, except in bfloat16 on a CPU.",
    ),
]
EnforceEager = Annotated[
    bool,
    typer.Option(
        "--enforce-eager",
        help="No CUDA graphs, and on a CPU no recorded steps: starts earlier, needs less memory, runs slower.",
    ),
]
BlockSize = Annotated[int, typer.Option(help="Tokens per cache page.")]
