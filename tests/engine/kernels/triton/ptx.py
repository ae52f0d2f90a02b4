"""Inline PTX, which Triton's interpreter does not run: the few instructions that the kernels use, executed here."""

import re

MASK = 0xFFFFFFFF


def prmt(a: int, b: int, selector: int) -> int:
    """Each nibble of the selector picks one byte of b:a."""
    source = (b << 32 | a).to_bytes(8, "little")
    return int.from_bytes(bytes(source[selector >> 4 * i & 7] for i in range(4)), "little")


OPERATIONS = {
    "shl": lambda a, b: a << b & MASK,
    "shr": lambda a, b: a >> b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "prmt": prmt,
}


def execute(ptx: str, outputs: int, word: int) -> list[int]:
    """The 16-bit halves, low ones first, of what the code leaves in its first `outputs` registers when the next one is
    `word`."""
    registers = {f"${outputs}": word}
    for operation, operands in re.findall(r"(\w+)\.b32 ([^;]*);", ptx):
        if operation in OPERATIONS:
            target, *sources = operands.split(", ")
            values = [registers[s] if s in registers else int(s, 0) for s in sources]
            registers[target] = OPERATIONS[operation](*values)
    return [half for i in range(outputs) for half in (registers[f"${i}"] & 0xFFFF, registers[f"${i}"] >> 16)]
