"""The main loop of the experts' products over a bfloat16 matrix, as a peer of `engine.kernels.triton.mxfp4_product`.

Of a step of prompts, which is bound by arithmetic: nothing is unpacked, both operands go from shared memory to the
tensor cores. Reads 2 · rows · columns bytes of an expert's matrix for each of its tiles, most of them from the cache.
"""

import triton
import triton.language as tl

from engine.kernels.triton.repack import DENSE_GROUP


@triton.jit
def multiply_dense(
    x, x_rows, x_stride, valid, columns, matrix, expert, first_row, rows, first_group, last_group,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, STAGES: tl.constexpr, WIDE: tl.constexpr,
    GROUP: tl.constexpr = DENSE_GROUP,
):  # fmt: skip
    """Σ over the columns of groups first_group … last_group − 1: float32 [ROWS, TOKENS].

    The weights are the expert's rows from first_row on, where they exist; token i is x[x_rows[i], :columns], and 0
    where it is not valid. WIDE: multiplied in float32.
    """
    column = tl.arange(0, GROUP)
    row = tl.minimum(first_row + tl.arange(0, ROWS), rows - 1)
    matrix += (expert.to(tl.int64) * rows + row)[:, None] * columns + first_group * GROUP + column[None, :]
    x += x_rows.to(tl.int64)[:, None] * x_stride + first_group * GROUP + column[None, :]
    sums = tl.zeros([ROWS, TOKENS], tl.float32)
    for group in tl.range(first_group, last_group, num_stages=STAGES):
        inside = (column < columns - group * GROUP)[None, :]
        weights = tl.load(matrix, mask=inside, other=0.0)
        tokens = tl.load(x, mask=valid[:, None] & inside, other=0.0)
        if WIDE:
            weights = weights.to(tl.float32)
        sums = tl.dot(weights, tokens.to(weights.dtype).trans(), sums, input_precision="ieee")
        matrix += GROUP
        x += GROUP
    return sums
