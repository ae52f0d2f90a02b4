"""The figures of `benchmarks.cpu` as tables in Markdown: medians over the rounds, ratios with their range."""

from collections.abc import Iterable
from statistics import median

from benchmarks.cpu_results import CAROUSEL, FP8, LLAMA_CPP, TRANSFORMERS, Results
from benchmarks.peers.case import Case

PEERS = (LLAMA_CPP, TRANSFORMERS)
FEATURES = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")
"""The table names the first of these that the CPU has."""
SHORT = 128
"""The table names contexts of more tokens than this."""


def full_table(results: Results) -> str:
    """Every case of every program, and Carousel's decode as a share of what memory allows."""
    programs = [name for name in (CAROUSEL, FP8) if name in results.programs]
    rows = [speed_row(results, kind, case, name) for kind, case in measured(results) for name in programs]
    return "\n".join([*table(results, rows), "", floors(results, results.cases), provenance(results)])


def readme_table(results: Results) -> str:
    """Carousel without flags, and with fp8 weights for one stream."""
    rows = [speed_row(results, kind, case, CAROUSEL) for kind, case in measured(results)]
    if FP8 in results.programs:
        rows.insert(1, speed_row(results, "decode", results.cases[0], FP8))
    return "\n".join([*table(results, rows), "", floors(results, results.cases[:1]), provenance(results)])


def measured(results: Results) -> list[tuple[str, Case]]:
    """The table's rows: decode of every case, then prefill of the cases with one stream."""
    decode = [("decode", case) for case in results.cases]
    return decode + [("prefill", case) for case in results.cases if case.streams == 1]


def peers(results: Results) -> list[str]:
    return [peer for peer in PEERS if peer in results.programs]


def table(results: Results, rows: Iterable[list[str]]) -> list[str]:
    """A head, these rows, then start time and memory."""
    columns = [CAROUSEL, *peers(results)]
    programs = [results.programs[name] for name in columns]
    blank = [""] * len(peers(results))
    start = ["start, seconds", *(f"{program.start_seconds:.1f}" for program in programs), *blank]
    memory = ["peak memory, GB", *(f"{program.peak_bytes / 1e9:.2f}" for program in programs), *blank]
    head = ["tokens a second", *columns, *(f"against {peer}" for peer in peers(results))]
    return [line(cells) for cells in (head, ["---"] * len(head), *rows, start, memory)]


def line(cells: Iterable[str]) -> str:
    """
    >>> line(["decode", "12"])
    '| decode | 12 |'
    """
    return f"| {' | '.join(cells)} |"


def speed_row(results: Results, kind: str, case: Case, program: str) -> list[str]:
    """A row: its label, the program's speed, the peers' speeds, and the ratios."""
    names = [program, *peers(results)]
    speeds = [rounded(median(getattr(results.programs[name], kind)[case.name])) for name in names]
    ratios = [spread(results.ratios(program, peer, kind, case.name)) for peer in peers(results)]
    note = ", `--quantization fp8`" if program == FP8 else ""
    return [label(kind, case) + note, *speeds, *ratios]


def label(kind: str, case: Case) -> str:
    """
    >>> label("decode", Case(8, 128, 32)), label("decode", Case(1, 8000, 32)), label("prefill", Case(1, 2048, 32))
    ('decode, 8 streams', 'decode, 1 stream after 8,000 tokens', 'prefill of 2,048')
    """
    if kind == "prefill":
        return f"prefill of {case.prompt:,}"
    streams = f"{case.streams} stream{'s' * (case.streams > 1)}"
    return f"decode, {streams}" + (f" after {case.prompt:,} tokens" if case.prompt > SHORT else "")


def rounded(speed: float) -> str:
    """
    >>> rounded(7.53), rounded(18.41), rounded(1234.5)
    ('7.5', '18', '1,234')
    """
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"


def spread(values: list[float]) -> str:
    """
    >>> spread([1.52, 1.4, 1.46])
    '**1.46** (1.40–1.52)'
    """
    return f"**{median(values):.2f}** ({min(values):.2f}–{max(values):.2f})"


def floors(results: Results, cases: Iterable[Case]) -> str:
    """Carousel's decode speeds as shares of the floor."""
    shares = [f"{label('decode', case)} {median(results.floor_shares(CAROUSEL, case.name)):.0%}" for case in cases]
    speed = median(results.read_speeds) / 1e9
    return f"Memory is read at {speed:.0f} GB/s. Of the speed that allows, Carousel reaches: {'; '.join(shares)}."


def provenance(results: Results) -> str:
    """The origin of the figures."""
    machine, versions = results.machine, results.versions
    best = next((feature for feature in FEATURES if feature in machine["flags"].split()), "no vector extension")
    lines = (
        f"Medians of {results.rounds} rounds, in brackets their range, on {results.date}, commit {results.commit}:",
        f"{machine['cores']} cores of {machine['cpu']} ({machine['model']}; {best}), {machine['memory']};",
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}.",
    )
    return "\n".join(lines)
