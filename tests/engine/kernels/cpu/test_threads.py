"""The threads that the C++ ops run on are the same from op to op: none ends, and none is made anew."""

import os

import pytest
import torch

from engine.kernels.cpu.attention import paged_attention, ring_attention
from engine.kernels.cpu.choose import choose
from engine.kernels.cpu.experts import mix_experts
from engine.kernels.cpu.library import Library
from engine.kernels.cpu.norm_linear import norm_linear
from engine.kernels.cpu.router import route
from engine.kernels.cpu.vocabulary import widen
from tests.engine.kernels.attention_case import Case, page_caches, prepare, ring_caches
from tests.engine.kernels.cpu.test_experts import inputs, prepared, product
from tests.engine.kernels.cpu.threads import torch_threads

THREADS = 4


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="a process's threads are listed by Linux alone")
def test_no_op_ends_threads(library: Library) -> None:
    """A team of some of the threads would end the others. Each op runs with work for one thread, for some, for all."""
    torch.manual_seed(0)
    case = Case(((200, 1), (1, 1), (130, 1)), heads=8, kv_heads=2, head_dim=64, window=128, dtype=torch.bfloat16)
    batch, queries = prepare(case)
    rings, pages = ring_caches(case, batch), page_caches(case, batch)
    up, down = (prepared(library, product(8, rows, columns, True)) for rows, columns in ((512, 256), (256, 256)))

    def every_op() -> None:
        for rows in (64, 1024, 2048, 4096):
            matrix = torch.zeros(rows, 512, dtype=torch.bfloat16)
            norm_linear(library, torch.zeros(1, 512, dtype=torch.bfloat16), torch.ones(512), 1e-5, matrix, None)
        for tokens in (1, 2, 3, 40):
            x = torch.zeros(tokens, 4096, dtype=torch.bfloat16)
            weight = torch.zeros(128, 4096, dtype=torch.bfloat16)
            route(library, x, torch.ones(4096), 1e-5, weight, torch.zeros(128, dtype=torch.bfloat16), 4)
            choose(library, torch.zeros(tokens, 2**18), torch.zeros(2, tokens, dtype=torch.float64))
            widen(library, torch.zeros(tokens, 2**15, dtype=torch.bfloat16), None)
            x, chosen, weights, residual = inputs(tokens, 256, 8, 2)
            mix_experts(library, x, chosen, weights, up, down, 1.702, 7.0, residual)
        ring_attention(library, *queries, *rings, case.window, batch)
        paged_attention(library, *queries, *pages, batch)

    with torch_threads(THREADS):
        every_op()
        before = sorted(os.listdir("/proc/self/task"))
        for _ in range(3):
            every_op()
        assert sorted(os.listdir("/proc/self/task")) == before
