"""The inline PTX, which Triton's interpreter does not run: a few instructions, executed here."""

import re

import torch

from engine.kernels.mxfp4 import MAGNITUDES
from engine.kernels.triton.mxfp4_product import UNPACK_PTX

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


def execute(word: int) -> list[int]:
    """What UNPACK_PTX leaves in $0 … $3 when $4 is `word`."""
    registers = {"$4": word}
    for operation, operands in re.findall(r"(\w+)\.b32 ([^;]*);", UNPACK_PTX.value):
        if operation in OPERATIONS:
            target, *sources = operands.split(", ")
            values = [registers[s] if s in registers else int(s, 0) for s in sources]
            registers[target] = OPERATIONS[operation](*values)
    return [registers[f"${i}"] for i in range(4)]


def halves(registers: list[int]) -> list[int]:
    return [half for register in registers for half in (register & 0xFFFF, register >> 16)]


def test_every_nibble_becomes_its_value() -> None:
    bits = [halves(execute(byte))[i] for byte in range(256) for i in (0, 4)]
    values = torch.tensor(bits, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).double() * 2.0**126
    nibbles = [*MAGNITUDES, *(-magnitude for magnitude in MAGNITUDES)]
    assert values.tolist() == [nibbles[nibble] for byte in range(256) for nibble in (byte & 15, byte >> 4)]


def test_a_value_depends_on_its_own_byte_only() -> None:
    """Low nibbles of bytes 0 … 3 come first, then their high ones, whatever the other bytes are."""
    for byte in range(256):
        low, high = (halves(execute(byte))[i] for i in (0, 4))
        for place in range(4):
            for others in (0, 0xFFFFFFFF, 0x5AA53CC3):
                word = others & ~(0xFF << 8 * place) | byte << 8 * place
                assert halves(execute(word))[place::4] == [low, high]
