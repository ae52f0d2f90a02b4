"""Executes the few inline PTX instructions of the kernels, which Triton's interpreter does not run."""

import re

MASK = 0xFFFFFFFF


def prmt(a: int, b: int, selector: int) -> int:
    """Each nibble of the selector picks one byte of b:a."""
    source = (b << 32 | a).to_bytes(8, "little")
    return int.from_bytes(bytes(source[selector >> 4 * i & 7] for i in range(4)), "little")


OPERATIONS = {
    "shl": lambda a, b: a << b & MASK,
    "shr": lambda a, b: a >> b,
    "shf.r.wrap": lambda low, high, b: (high << 32 | low) >> b & MASK,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "prmt": prmt,
}


def execute(ptx: str, outputs: int, word: int) -> list[int]:
    """The content of the code's first `outputs` registers after it has run with `word` in the next one."""
    registers = {f"${outputs}": word}
    for operation, operands in re.findall(r"([\w.]+)\.b32 ([^;]*);", ptx):
        if operation == "mov":
            low, high, source = re.fullmatch(r"{(\S+), (\S+)}, (\S+)", operands).groups()
            registers[low], registers[high] = halves(registers[source])
        elif operation != ".reg":
            target, *sources = operands.split(", ")
            values = [registers[s] if s in registers else int(s, 0) for s in sources]
            registers[target] = OPERATIONS[operation](*values)
    return [registers[f"${i}"] for i in range(outputs)]


def halves(register: int) -> tuple[int, int]:
    """The lower and upper 16 bits."""
    return register & 0xFFFF, register >> 16
