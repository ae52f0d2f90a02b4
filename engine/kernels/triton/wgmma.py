"""Hopper's tensor cores read a left operand from registers while the program goes on (`wgmma`).

Triton lets a turn of a pipelined loop end with its product pending, and ptxas gives the registers of the operand to the
next turn's weights: what the tensor cores read is then left to chance (triton-lang/triton#9433). Sums that pass through
an instruction of the loop's own are waited for in their turn.
"""

import triton
import triton.language as tl
from triton.language.target_info import cuda_capability_geq


@triton.jit
def finished(sums, PTX: tl.constexpr):
    """float32 sums of a product whose left operand is in registers → the same, no longer pending.

    Only for Hopper: later tensor cores keep their sums in a memory of their own, from which this would fetch them.
    """
    if PTX and cuda_capability_geq(9) and not cuda_capability_geq(10):
        sums = tl.inline_asm_elementwise("// finished", "=r,0", [sums], dtype=tl.float32, is_pure=True, pack=1)
    return sums
