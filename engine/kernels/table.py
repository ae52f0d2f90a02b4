"""The op table: what the model calls, and which implementation runs.

Every op that has, or will have, a kernel of its own is in a file of this folder with its plain torch reference; the
model knows only this table. A faster implementation is another row of `select_ops`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from engine.kernels.choose import choose
from engine.kernels.cpu.library import Library
from engine.kernels.deterministic import attend_in_blocks, in_tiles, linear_add_in_tiles, norm_linear_in_tiles
from engine.kernels.experts import ExpertProduct, keep_experts, mix_experts, through_expert
from engine.kernels.norm_linear import linear_add, norm_linear
from engine.kernels.paged_attention import paged_attention
from engine.kernels.ring_attention import ring_attention
from engine.kernels.rotary import cos_sin
from engine.kernels.router import route
from engine.kernels.triton.repack import KernelProduct
from engine.kernels.vocabulary import embed, widen

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ops:
    """One implementation of every op. The signatures are those of the references, except that only `capturable` ops,
    whose batches may be padded, take `row_sequences`."""

    embed: Callable[[Tensor, Tensor], Tensor]
    cos_sin: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
    norm_linear: Callable[..., Tensor]
    ring_attention: Callable[..., Tensor]
    paged_attention: Callable[..., Tensor]
    linear_add: Callable[..., Tensor]
    route: Callable[..., tuple[Tensor, Tensor, Tensor]]
    mix_experts: Callable[..., Tensor]
    prepare_experts: Callable[[ExpertProduct], ExpertProduct | KernelProduct]
    widen: Callable[[Tensor, Tensor | None], Tensor]
    choose: Callable[..., Tensor]
    library: Library | None = None
    """The library that holds the C++ ops; None if there are none."""

    @property
    def tiles_experts(self) -> bool:
        """Whether prepared MXFP4 matrices are padded to tiles (`engine.kernels.triton.repack`)."""
        return self.library is None and self.prepare_experts is not keep_experts

    @property
    def capturable(self) -> bool:
        """Whether the launches of a decoding step need nothing from the host in between, so that a CUDA graph, or a
        recording of C++ ops, can hold it."""
        return (self.tiles_experts or self.library is not None) and not any(
            self.ring_attention is plain.ring_attention or self.paged_attention is plain.paged_attention
            for plain in (REFERENCE, DETERMINISTIC)
        )

    @property
    def holds_scores(self) -> bool:
        """Whether attention may be plain torch, which holds its scores in memory: every implementation but Triton's
        falls back to that, some only for certain head sizes."""
        return any(getattr(self, name).__module__ != TRITON[name] for name in ("ring_attention", "paged_attention"))

    @property
    def sorts_logits(self) -> bool:
        """Whether the filters of sampling are plain torch, which sorts whole rows."""
        return self.choose is REFERENCE.choose

    def with_resident_experts(self) -> "Ops":
        """The same ops, except that prepared MXFP4 matrices keep a bfloat16 copy for steps of many tokens."""
        from engine.kernels.triton.experts import prepare_resident_experts

        assert self.tiles_experts
        return replace(self, prepare_experts=prepare_resident_experts)


REFERENCE = Ops(
    embed=embed,
    cos_sin=cos_sin,
    norm_linear=norm_linear,
    ring_attention=ring_attention,
    paged_attention=paged_attention,
    linear_add=linear_add,
    route=route,
    mix_experts=mix_experts,
    prepare_experts=keep_experts,
    widen=widen,
    choose=choose,
)
DETERMINISTIC = replace(
    REFERENCE,
    norm_linear=norm_linear_in_tiles,
    linear_add=linear_add_in_tiles,
    ring_attention=partial(ring_attention, attend=attend_in_blocks),
    paged_attention=partial(paged_attention, attend=attend_in_blocks),
    route=in_tiles(route),
    mix_experts=partial(mix_experts, through=in_tiles(through_expert)),
    cos_sin=in_tiles(cos_sin),
)
"""Ops whose result rows each depend only on their own input, to the last bit, as those of the C++ ops do."""


TRITON = {
    "norm_linear": "engine.kernels.triton.norm_linear",
    "linear_add": "engine.kernels.triton.norm_linear",
    "ring_attention": "engine.kernels.triton.ring_attention",
    "paged_attention": "engine.kernels.triton.paged_attention",
    "route": "engine.kernels.triton.router",
    "mix_experts": "engine.kernels.triton.experts",
    "prepare_experts": "engine.kernels.triton.experts",
    "choose": "engine.kernels.triton.choose",
}
"""Ops with a Triton kernel, and the modules that hold them under the same name."""
TRITON_CAPABILITY = (8, 0)
"""The first compute capability whose tensor cores take bfloat16."""
FP8_CAPABILITY = (8, 9)
"""The first that converts float8_e4m3fn."""


def compiles_first(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `select_ops` will compile the C++ ops, which takes half a minute."""
    from engine.kernels.cpu.build import must_compile

    return device.type != "cuda" and dtype == torch.bfloat16 and must_compile()


def select_ops(device: torch.device, dtype: torch.dtype, kv_dtype: torch.dtype, *, deterministic: bool = False) -> Ops:
    """The ops to run on `device`: Triton's on a CUDA GPU, if they can run and need not be deterministic; the C++ ones
    on a CPU; else plain torch's. Triton's experts multiply bfloat16, its attention reads float8 if the GPU can; the C++
    ops support bfloat16 only. Triton is imported here, and not earlier."""
    plain = DETERMINISTIC if deterministic else REFERENCE
    if device.type != "cuda" and dtype == torch.bfloat16:
        return cpu_ops(plain)
    if device.type != "cuda" or deterministic:
        return plain
    capability = torch.cuda.get_device_capability(device)
    try:
        from engine.kernels.triton.driver import start_driver

        start_driver()
    except ImportError as reason:
        logger.warning("the model runs as plain torch, many times slower, without Triton's kernels: %s", reason)
        return plain
    ops = triton_ops(capability)
    if kv_dtype == torch.float8_e4m3fn and TRITON_CAPABILITY <= capability < FP8_CAPABILITY:
        for name in ("ring_attention", "paged_attention"):
            logger.warning("%s runs as plain torch, without its kernel: this GPU does not know float8_e4m3fn", name)
        ops = replace(ops, ring_attention=ring_attention, paged_attention=paged_attention)
    if ops.tiles_experts and dtype != torch.bfloat16:
        logger.warning("mix_experts runs as plain torch, without its kernel: it is for bfloat16")
        ops = replace(ops, mix_experts=mix_experts, prepare_experts=keep_experts)
    return ops


def triton_ops(capability: tuple[int, int]) -> Ops:
    """Triton's kernels for a GPU of this compute capability. An op whose kernel cannot run there stays the reference,
    and the log says so."""
    ops: dict[str, Any] = {}
    for name, module in TRITON.items():
        try:
            if capability < TRITON_CAPABILITY:
                raise ImportError("compute capability {}.{} is below {}.{}".format(*capability, *TRITON_CAPABILITY))
            ops[name] = getattr(import_module(module), name)
        except ImportError as reason:
            logger.warning("%s runs as plain torch, without its kernel: %s", name, reason)
    return replace(REFERENCE, **ops)


def cpu_ops(plain: Ops) -> Ops:
    """The C++ ops, compiled on first use, with those of `plain` for shapes that they do not support. If they cannot be
    compiled, all ops are those of `plain`, and the log says so."""
    from engine.kernels.cpu import attention, experts, norm_linear, router, vocabulary
    from engine.kernels.cpu import choose as choice
    from engine.kernels.cpu.build import CannotBuildError, cache_directory
    from engine.kernels.cpu.library import load_best

    try:
        library = load_best(cache_directory())
    except CannotBuildError as reason:
        logger.warning("the model runs as plain torch, many times slower, without the C++ ops: %s", reason)
        return plain
    return replace(
        plain,
        library=library,
        embed=partial(vocabulary.embed, library),
        cos_sin=partial(vocabulary.cos_sin, library),
        widen=partial(vocabulary.widen, library),
        choose=partial(choice.choose, library),
        norm_linear=partial(norm_linear.norm_linear, library, otherwise=plain.norm_linear),
        linear_add=partial(norm_linear.linear_add, library, otherwise=plain.linear_add),
        route=partial(router.route, library, otherwise=plain.route),
        mix_experts=partial(experts.mix_experts, library, otherwise=plain.mix_experts),
        prepare_experts=partial(experts.prepare_experts, library),
        ring_attention=partial(attention.ring_attention, library, otherwise=plain.ring_attention),
        paged_attention=partial(attention.paged_attention, library, otherwise=plain.paged_attention),
    )
