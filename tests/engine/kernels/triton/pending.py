"""Checks that machine code for Hopper does not overwrite registers that its tensor cores still read.

`HGMMA R24, R48, gdesc[UR4], R24` keeps reading its left operand, R48 to R51, until a `WARPGROUP.DEPBAR.LE gsb0, 0x0`
has waited for it. Of eight warps, each half waits only for its own products: `LDGSTS` may overwrite what the other
half's products read from shared memory only after a barrier that follows the wait.
"""

import re
from collections.abc import Sequence

OPERAND = re.compile(r"HGMMA\S* R\d+, R(\d+)\b")
WAIT = re.compile(r"WARPGROUP\.DEPBAR\.LE gsb0, 0x0")
ANY_WAIT, BARRIER, COPY = (re.compile(name) for name in (r"WARPGROUP\.DEPBAR", r"BAR\.SYNC", r"(@!?U?P\w+ )?LDGSTS"))
TARGET = re.compile(r"(?:@!?U?P\w+ )?(?!ST|RED|BAR|HGMMA|LDGSTS)([A-Z]\S*) (?:P\w+, )?R(\d+)\b")
FOUR, TWO = re.compile(r"\.128|\.4$|^HMMA"), re.compile(r"\.64|\.WIDE|\.2$|^CS2R$|^D(ADD|MUL|FMA)")
"""Instructions that write four registers, and two."""


def reads_registers(loop: Sequence[str]) -> bool:
    """Whether a product in the code has its left operand in registers."""
    return any(OPERAND.search(instruction) for instruction in loop)


def overwritten_operands(loop: Sequence[str]) -> list[str]:
    """The instructions of a loop that write registers which a product of this or the last turn may still read.

    A wait that leaves a product pending, or that may be skipped, does not count.
    """
    pending: set[int] = set()
    found = []
    for instruction in [*loop, *loop]:
        if operand := OPERAND.search(instruction):
            pending |= set(range(int(operand[1]), int(operand[1]) + 4))
        elif WAIT.match(instruction):
            pending.clear()
        elif target := TARGET.match(instruction):
            width = 4 if FOUR.search(target[1]) else 2 if TWO.search(target[1]) else 1
            if pending & set(range(int(target[2]), int(target[2]) + width)):
                found.append(instruction)
    return found


def unguarded_copies(loop: Sequence[str]) -> list[str]:
    """The copies of a loop into shared memory that no barrier parts from the wait for products before them."""
    found, waited = [], False
    for instruction in [*loop, *loop]:
        if ANY_WAIT.match(instruction):
            waited = True
        elif BARRIER.match(instruction):
            waited = False
        elif waited and COPY.match(instruction):
            found.append(instruction)
    return found
