import pytest

from tests.engine.kernels.triton.pending import overwritten_operands, reads_registers, unguarded_copies

PRODUCT = "HGMMA.64x16x16.F32.BF16 R24, R48, gdesc[UR4], R24, gsb0"
WAIT = "WARPGROUP.DEPBAR.LE gsb0, 0x0"


@pytest.mark.parametrize(
    "write",
    [
        "MOV R48, R3",
        "@!P1 LOP3.LUT R51, R3, 0xf, RZ, 0xc0, !PT",
        "IADD3 R49, P0, R3, R4, RZ",
        "LDS.64 R47, [R3]",
        "LDG.E.128 R45, desc[UR6][R2.64]",
        "IMAD.WIDE R47, R3, 0x4, R6",
        "CS2R R50, SRZ",
        "HMMA.16816.F32.BF16 R45, R4, R8, R12",
        "DADD R47, R2, R4",
    ],
)
def test_a_write_is_seen_unless_the_product_was_waited_for(write: str) -> None:
    assert overwritten_operands([PRODUCT, write, WAIT]) == [write] * 2
    assert overwritten_operands([write, PRODUCT]) == [write], "the last turn's product is pending"
    assert overwritten_operands([write, PRODUCT, WAIT]) == []
    assert overwritten_operands([write, PRODUCT, "WARPGROUP.DEPBAR.LE gsb0, 0x1"]) == [write]
    assert overwritten_operands([write, PRODUCT, f"@P1 {WAIT}"]) == [write]


@pytest.mark.parametrize(
    "other",
    ["MOV R47, R48", "MOV R52, R48", "STS.128 [R48], R48", "LDGSTS.E.BYPASS.128 [R48], desc[UR6][R2.64]",
     "ISETP.GE.AND P0, PT, R48, R3, PT", "R2UR UR4, R48", "LDS.64 R46, [R3]"],
)  # fmt: skip
def test_what_writes_elsewhere_is_none(other: str) -> None:
    assert overwritten_operands([PRODUCT, other]) == []


def test_a_left_operand_in_shared_memory_is_in_no_register() -> None:
    in_memory = "HGMMA.64x128x16.F32.BF16 R24, gdesc[UR4], R24"
    assert not reads_registers([in_memory])
    assert overwritten_operands([in_memory, "MOV R48, R3"]) == []
    assert reads_registers([PRODUCT])
    assert reads_registers([PRODUCT.replace("R48,", "R48.reuse,")])


def test_a_copy_comes_after_a_barrier_that_follows_the_wait() -> None:
    copy, barrier = "@!P6 LDGSTS.E [R7+0x1c000], desc[UR14][R134.64], !P5", "BAR.SYNC.DEFER_BLOCKING 0x0"
    assert unguarded_copies([barrier, PRODUCT, WAIT, barrier, copy, copy]) == []
    assert unguarded_copies([barrier, PRODUCT, WAIT, copy]) == [copy] * 2
    assert unguarded_copies([barrier, PRODUCT, copy, WAIT]) == []
    assert unguarded_copies([copy, PRODUCT, "WARPGROUP.DEPBAR.LE gsb0, 0x1"]) == [copy]
    assert unguarded_copies([WAIT, f"@P1 {barrier}", copy]) == [copy] * 2
