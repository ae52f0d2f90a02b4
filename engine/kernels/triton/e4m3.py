"""float8_e4m3fn numbers as bfloat16, in registers, on every GPU whose tensor cores take that: Triton's own conversion
needs compute capability 8.9, and goes through float16 by an instruction of an eighth of the others' speed.
"""

import triton
import triton.language as tl

WIDEN_PTX = tl.constexpr(
    """
    {
    .reg .b32 t, a;
    prmt.b32 t, $2, 0, 0x1404;
    shr.b32 a, t, 4;  and.b32 a, a, 0x07F007F0;  and.b32 t, t, 0x80008000;  or.b32 $0, a, t;
    prmt.b32 t, $2, 0, 0x3424;
    shr.b32 a, t, 4;  and.b32 a, a, 0x07F007F0;  and.b32 t, t, 0x80008000;  or.b32 $1, a, t;
    }
    """
)
"""Four bytes $2 → bfloat16s, two a register: s eeee mmm becomes s 0000eeee mmm0000.

Two bytes go to the upper halves of 16 bits each; then the magnitude goes down by four.
"""
UNSCALE = tl.constexpr(2.0**120)
"""What `widen` leaves to multiply: the exponents' biases are 7 and 127."""


@triton.jit
def widen(packed, PTX: tl.constexpr):
    """Finite float8_e4m3fn, as bytes → the same shape in bfloat16, times 2^−120; without PTX in float32."""
    if PTX:
        values = tl.inline_asm_elementwise(WIDEN_PTX, "=&r,=&r,r", [packed], dtype=tl.bfloat16, is_pure=True, pack=4)
    else:
        wide = packed.to(tl.int32)
        values = (((wide & 0x80) << 24) | ((wide & 0x7F) << 20)).to(tl.float32, bitcast=True)
    return values
