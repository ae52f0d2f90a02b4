"""Choosing tokens in Triton's interpreter against the reference."""

from dataclasses import replace

import pytest
import torch

from engine.kernels.choose import NO_TOKEN
from engine.kernels.choose import choose as reference
from engine.kernels.triton import choose as kernels
from engine.kernels.triton import least_kept
from engine.kernels.triton.choose import choose
from tests.engine.kernels.choices import choices, overflowing
from tests.engine.kernels.triton.ahead import Binary, Kernel, compile_ahead
from tests.engine.kernels.triton.launches import record_launches


@pytest.mark.parametrize("tile", [16, 4096])
@pytest.mark.parametrize("vocab", [1, 15, 64, 601])
@pytest.mark.parametrize(("filtered", "dtype"), [(False, torch.float32), (True, torch.float32), (True, torch.bfloat16)])
def test_the_choice_is_the_references(
    monkeypatch: pytest.MonkeyPatch, vocab: int, tile: int, filtered: bool, dtype: torch.dtype
) -> None:
    """Of what a model computes, which is bfloat16, and of what was added to."""
    monkeypatch.setattr(kernels, "TILE", tile)
    monkeypatch.setattr(least_kept, "TILE", min(tile, 256))
    for share in 0.0, 1.0:
        logits, draws = choices(vocab, 20, share, filtered=filtered)
        logits = logits.to(dtype).float()
        want = reference(logits, draws)
        apart = torch.cat((logits, torch.full_like(logits, torch.inf)), dim=1)[:, :vocab]
        out = torch.empty(20, dtype=torch.int64)
        assert choose(apart, torch.cat((draws, draws), dim=1)[:, :20], out) is out
        assert out.equal(want)
        assert (want[3:7] == NO_TOKEN).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # Of numpy's, in which it is interpreted.
def test_a_logit_that_overflows_by_its_temperature_chooses_nothing() -> None:
    assert choose(*overflowing()).tolist() == [1, NO_TOKEN, 1]


def test_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "TILE", 4)
    for number, token in ((0.0, 0), (0.55, 5), (0.7999, 7), (0.8001, 8), (1 - 2**-52, 9)):
        draws = torch.tensor([[1.0], [number]], dtype=torch.float64)
        assert choose(torch.zeros(1, 10), draws).item() == token


def test_the_example_of_what_filters_leave() -> None:
    """Of 2, 7, 9 and 12 two are left: at a great temperature each of them is half as likely as both."""
    for number, token in ((0.49, 2), (0.51, 3)):
        draws = torch.tensor([[1e6], [number], [torch.inf], [2.0], [1.0]], dtype=torch.float64)
        assert choose(torch.tensor([[2.0, 7.0, 9.0, 12.0]]), draws).item() == token


@pytest.mark.parametrize(
    ("logits", "found"),
    [
        ([-12.0, -2.0, -9.0, -7.0], 0xC0E0FFFF),
        ([12.0, 2.0, 9.0, 7.0], 0x41100000),
        ([-12.0, -2.0, -9.0 - 2**-20, -7.0], 0xC0E00000),
        ([12.0, 2.0, 9.0, 7.0 + 2**-20], 0x41100000),
        ([1.0, -torch.inf, -torch.inf, -torch.inf], 0xFF800000),
    ],
)
def test_numbers_of_bfloat16_are_told_apart_by_half_of_their_bits(logits: list[float], found: int) -> None:
    """Two are left: of −2, −7 and so on what is found has the bits of −7 but the lower ones, which are not looked at;
    one number that needs them has them looked at in all."""
    draws = torch.tensor([[1.0], [0.0], [torch.inf], [2.0], [1.0]], dtype=torch.float64)
    least = torch.empty(1)
    least_kept.find_least_kept[(1,)](
        torch.tensor([logits]), draws, least, 4, 1, 4, TILE=least_kept.TILE, WAYS=least_kept.WAYS
    )
    assert least.view(torch.int32).item() & 0xFFFFFFFF == found


def test_batches_of_all_sizes_run_the_same_kernels() -> None:
    def launched(rows: int, kinds: int) -> list[Kernel]:
        logits, draws = torch.empty(rows, 601, device="meta"), torch.empty(kinds, rows, device="meta").double()
        return record_launches(lambda: choose(logits, draws), kernels, least_kept)

    for kinds in 2, 5:
        assert launched(1, kinds) == launched(16, kinds) == launched(33, kinds)


@pytest.fixture(scope="module")
def binaries() -> list[tuple[Kernel, Binary]]:
    """All kernels, with and without filters, for three generations of GPUs."""

    def published() -> None:
        logits = torch.empty(2, 201_088, device="meta")
        for kinds in 2, 5:
            choose(logits, torch.empty(kinds, 2, dtype=torch.float64, device="meta"))

    launches = record_launches(published, kernels, least_kept)
    plain = ["weigh_tiles", "pick_tokens"]
    assert [launch.name.split(":")[1] for launch in launches] == [*plain, "find_least_kept", *plain]
    on_each = [replace(launch, capability=capability) for launch in launches for capability in (80, 90, 100)]
    return list(zip(on_each, compile_ahead(on_each), strict=True))


def test_nothing_spills(binaries: list[tuple[Kernel, Binary]]) -> None:
    assert [binary.spills for _, binary in binaries] == [0] * 15


def test_a_pass_is_its_comparisons(binaries: list[tuple[Kernel, Binary]]) -> None:
    """Of each thread's four logits with sixteen values: two or three instructions. Threads wait for each other, and
    exchange their sums, outside of the loop over a row."""
    comparisons = least_kept.WAYS * least_kept.TILE // 256
    for kernel, binary in binaries:
        if "find_least_kept" in kernel.name:
            loops = [body for body in binary.loops("FADD") if not any("SHFL" in line for line in body)]
            passes = [body for body in loops if sum("FADD" in line for line in body) >= comparisons / 2]
            assert len(passes) == 2
            assert max(map(len, passes)) < 4 * comparisons
            assert not any("BAR" in line for body in loops for line in body)
