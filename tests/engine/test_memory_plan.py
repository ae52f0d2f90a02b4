"""The memory plan: the published models' numbers, the rules, and that what is planned is allocated."""

import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.cache.paged import PagedCache
from engine.cache.rolling import RollingCache
from engine.config import Dtype, EngineConfig, ExpertFormat, KvCacheDtype, ModelConfig, Quantization, RopeConfig
from engine.errors import ConfigError, MemoryPlanError
from engine.kernels import attention
from engine.kernels.experts import ExpertProduct
from engine.kernels.fp8_matrix import quantize
from engine.kernels.mxfp4 import Mxfp4
from engine.kernels.table import REFERENCE
from engine.kernels.triton.paged_attention import decode_splits
from engine.kernels.triton.repack import TiledProduct, repack, unpack_experts
from engine.memory_plan import FREE_SHARE, KEPT_BYTES, Machine, MemoryPlan, describe, plan_memory, size
from engine.memory_sizes import (
    GRAPH_BYTES,
    SCORED_LIMIT,
    SCORES_LIMIT,
    graphs_bytes,
    kv_sizes,
    most_splits,
    weights_bytes,
    workspace_bytes,
)
from engine.model.gpt_oss import GptOss
from engine.model.weights import empty_weights
from engine.runner import runner
from tests.checkpoints import small_config

KIB, MIB, GIB = 2**10, 2**20, 2**30

GPT_OSS_20B = ModelConfig(
    vocab_size=201088,
    hidden_size=2880,
    intermediate_size=2880,
    num_heads=64,
    num_kv_heads=8,
    head_dim=64,
    num_experts=32,
    experts_per_token=4,
    window=128,
    layer_types=("sliding_attention", "full_attention") * 12,
    max_position=131072,
    rope=RopeConfig(theta=150000.0, factor=32.0),
)
GPT_OSS_120B = replace(GPT_OSS_20B, num_experts=128, layer_types=("sliding_attention", "full_attention") * 18)


def plan(
    model: ModelConfig = GPT_OSS_20B,
    *,
    weights: int = 13 * GIB,
    memory: int = 80 * GIB,
    total: int | None = None,
    gpu: bool = True,
    **engine: Any,
) -> MemoryPlan:
    config = EngineConfig(model=Path(), **engine)
    machine = Machine(
        device_bytes=memory, total_bytes=total or memory, on_gpu=gpu, holds_scores=not gpu, sorts_logits=not gpu
    )
    return plan_memory(model, config, machine, weights)


def test_20b_takes_24_kib_a_token_and_3_mib_of_rings() -> None:
    sizes = kv_sizes(GPT_OSS_20B, 2)
    assert (sizes.token, sizes.rings, sizes.whole_token) == (24 * KIB, 3 * MIB, 48 * KIB)


def test_120b_takes_36_kib_a_token_and_4_5_mib_of_rings() -> None:
    sizes = kv_sizes(GPT_OSS_120B, 2)
    assert (sizes.token, sizes.rings) == (36 * KIB, 4.5 * MIB)


def test_a_full_context_takes_half_of_what_it_would_without_rings() -> None:
    planned = plan()
    assert planned.request_bytes(131072) == 3075 * MIB
    assert planned.request_bytes_without_rings(131072) == 6144 * MIB


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("experts", ["mxfp4", "dense"])
@pytest.mark.parametrize("quantization", ["none", "fp8"])
@pytest.mark.parametrize(
    "model",
    [
        GPT_OSS_20B,
        GPT_OSS_120B,
        small_config(),
        small_config(tie_word_embeddings=True, num_heads=7, num_kv_heads=1),
        small_config(num_experts=1, experts_per_token=1, layer_types=("full_attention",)),
    ],
    ids=["20b", "120b", "small", "tied", "one expert"],
)
def test_weights_bytes_is_what_is_allocated(
    model: ModelConfig, experts: ExpertFormat, dtype: Dtype, quantization: Quantization
) -> None:
    """Before the model is made, and, in fp8, with the copy of a tied embedding that it makes."""
    weights = empty_weights(model, experts, dtype, "meta", quantization)
    allocated = sum(tensor.nbytes for tensor in weights.values())
    if quantization == "fp8" and model.tie_word_embeddings:
        copy = quantize(torch.zeros(model.vocab_size, model.hidden_size))
        allocated += copy.values.nbytes + copy.scales.nbytes
    assert weights_bytes(model, dtype, experts, quantization) == allocated


def test_fp8_weights_of_20b_save_1_2_gigabytes() -> None:
    saved = weights_bytes(GPT_OSS_20B, "bfloat16", "mxfp4") - weights_bytes(GPT_OSS_20B, "bfloat16", "mxfp4", "fp8")
    assert saved == pytest.approx(1.21e9, rel=0.01)


@pytest.mark.parametrize("model", [GPT_OSS_20B, small_config(hidden_size=96, intermediate_size=160)])
def test_weights_bytes_of_tiled_experts_is_what_repacking_leaves(model: ModelConfig) -> None:
    """The difference is that of the experts' matrices; rows are padded to 64, columns to 128."""
    layer = 0
    for rows, columns in (
        (2 * model.intermediate_size, model.hidden_size),
        (model.hidden_size, model.intermediate_size),
    ):
        packed = torch.zeros(1, rows, columns // 32, 16, dtype=torch.uint8)
        tiled = repack(Mxfp4(packed, packed[..., 0]), torch.zeros(1, rows))
        layer += tiled.blocks.nbytes + tiled.scales.nbytes - rows * columns // 32 * 17
    published = weights_bytes(model, "bfloat16", "mxfp4")
    tiled_bytes = weights_bytes(model, "bfloat16", "mxfp4", tiled=True)
    assert tiled_bytes - published == model.num_layers * model.num_experts * layer > 0


@pytest.mark.parametrize("model", [GPT_OSS_20B, GPT_OSS_120B], ids=["20b", "120b"])
def test_repacking_needs_no_more_than_is_planned(model: ModelConfig) -> None:
    """While the largest matrix is repacked it is there twice; workspace and caches are not there yet."""
    as_read = weights_bytes(model, "bfloat16", "mxfp4")
    repacked = weights_bytes(model, "bfloat16", "mxfp4", tiled=True)
    largest = model.num_experts * (2 * model.intermediate_size) * -(-model.hidden_size // 128) * 68
    assert 0 < largest < as_read / 20
    assert as_read + largest <= repacked + workspace_bytes(
        model, "bfloat16", 1, 1, holds_scores=False, sorts_logits=False
    )


def test_matrices_as_read_are_gone_when_the_next_are_repacked() -> None:
    config = small_config()
    weights = empty_weights(config, "mxfp4", "bfloat16", "cpu")
    as_read = [weakref.ref(tensor) for name, tensor in weights.items() if name.endswith(".blocks")]
    alive: list[int] = []

    def prepare(product: ExpertProduct) -> TiledProduct:
        alive.append(sum(tensor() is not None for tensor in as_read))
        assert isinstance(product.matrix, Mxfp4)
        return repack(product.matrix, product.bias)

    GptOss(config, weights, replace(REFERENCE, prepare_experts=prepare))
    assert alive == [*range(2 * config.num_layers, 0, -1)]
    assert not any(tensor() is not None for tensor in as_read)


def test_resident_experts_are_planned() -> None:
    """38 GB for 20b: 24 layers of 32 experts of three matrices of 2880 · 2880 in bfloat16."""
    plain = weights_bytes(GPT_OSS_20B, "bfloat16", "mxfp4", tiled=True)
    resident = weights_bytes(GPT_OSS_20B, "bfloat16", "mxfp4", tiled=True, resident=True)
    assert resident - plain == 24 * 32 * 3 * 2880 * 2880 * 2
    packed = Mxfp4(torch.zeros(2, 70, 3, 16, dtype=torch.uint8), torch.zeros(2, 70, 3, dtype=torch.uint8))
    assert unpack_experts(packed, torch.zeros(2, 70, dtype=torch.bfloat16)).matrix.nbytes == 2 * 70 * 96 * 2


@pytest.mark.parametrize(
    ("dtype", "experts", "tiled"),
    [("float32", "mxfp4", True), ("bfloat16", "dense", True), ("bfloat16", "mxfp4", False)],
)
def test_resident_experts_that_nothing_would_use_are_refused(dtype: Dtype, experts: ExpertFormat, tiled: bool) -> None:
    with pytest.raises(ConfigError, match="--resident-experts is for MXFP4 experts on a GPU"):
        weights_bytes(GPT_OSS_20B, dtype, experts, tiled=tiled, resident=True)


@pytest.mark.parametrize("kv_heads", [1, 2, 8, 16])
def test_no_batch_has_more_splits_than_are_planned(kv_heads: int) -> None:
    largest = 0
    for seqs in range(1, 600):
        largest = max(largest, seqs * decode_splits(seqs, kv_heads)[1])
        assert largest <= most_splits(seqs, kv_heads) <= 2 * largest


def test_cuda_graphs_are_planned_and_can_be_left_out() -> None:
    """What the graphs of 256 sequences hold is at least their logits in both dtypes and their block tables."""
    planned, eager = plan(), plan(enforce_eager=True)
    logits, tables = 256 * 201088 * 6, 256 * 131072 // 16 * 4
    assert logits + tables + 17 * GRAPH_BYTES < planned.graphs_bytes < GIB
    assert eager.graphs_bytes == plan(gpu=False).graphs_bytes == 0
    assert eager.kv_budget_bytes - planned.kv_budget_bytes == planned.graphs_bytes
    assert "CUDA graphs" in describe(planned)
    assert "CUDA graphs" not in describe(eager)
    with pytest.raises(MemoryPlanError, match=r"CUDA graphs of .* \(--enforce-eager"):
        plan(memory=14 * GIB)


def test_20b_weights_fit_a_16_gb_device() -> None:
    assert weights_bytes(GPT_OSS_20B, "bfloat16", "mxfp4") == pytest.approx(13.76e9, rel=0.01)


def test_fp8_caches_hold_twice_as_much() -> None:
    memory = {"kv_cache_memory_bytes": 8 * GIB, "max_num_seqs": 16}
    half, whole = plan(kv_cache_dtype="fp8", **memory), plan(**memory)
    assert (half.kv.token, half.kv.rings) == (12 * KIB, 1.5 * MIB)
    assert half.request_bytes(131072) * 2 == whole.request_bytes(131072)
    assert half.num_pages // 2 == pytest.approx(whole.num_pages, rel=0.01)


@pytest.mark.parametrize("kind", ["auto", "fp8"])
def test_the_caches_allocated_are_the_bytes_planned(kind: KvCacheDtype) -> None:
    model = small_config()
    planned = plan(
        model, weights=0, memory=64 * MIB, gpu=False, max_num_seqs=3, max_num_batched_tokens=64, kv_cache_dtype=kind
    )
    dtype = torch.float8_e4m3fn if kind == "fp8" else torch.bfloat16
    device = torch.device("cpu")
    rings = RollingCache(model, planned.max_num_seqs, dtype, device)
    pages = PagedCache(model, planned.num_pages, planned.page_size, dtype, device)
    tensors = (rings.keys, rings.values, pages.keys, pages.values)
    assert sum(tensor.nbytes for tensor in tensors) == planned.kv_cache_bytes


def test_workspace_knows_the_limits_of_attention_and_runner() -> None:
    assert SCORES_LIMIT == attention.SCORES_LIMIT
    assert SCORED_LIMIT == runner.SCORED_LIMIT


def test_workspace_grows_with_tokens_and_rows() -> None:
    small = workspace_bytes(GPT_OSS_20B, "bfloat16", 256, 16, holds_scores=True, sorts_logits=True)
    assert small < workspace_bytes(GPT_OSS_20B, "bfloat16", 4096, 16, holds_scores=True, sorts_logits=True)
    assert small < workspace_bytes(GPT_OSS_20B, "bfloat16", 256, 1024, holds_scores=True, sorts_logits=True)


def test_logits_that_are_not_sorted_take_half() -> None:
    """256 rows of 201,088: 1.2 GB that are left to keys and values."""
    sorts, reads = (
        workspace_bytes(GPT_OSS_20B, "bfloat16", 2048, 256, holds_scores=False, sorts_logits=sorting)
        for sorting in (True, False)
    )
    assert sorts == 2 * reads == 48 * 256 * GPT_OSS_20B.vocab_size


def test_scores_have_room_only_where_attention_holds_them() -> None:
    """2^26 at 16 bytes, as long as nothing after the layers needs more; kernels leave that to keys and values."""
    small = small_config(vocab_size=64, num_heads=64, num_kv_heads=8, max_position=131072)
    with_scores, without = (
        workspace_bytes(small, "bfloat16", 2048, 1, holds_scores=holds_scores, sorts_logits=True)
        for holds_scores in (True, False)
    )
    assert with_scores - without > GIB - 64 * MIB
    machine = Machine(device_bytes=80 * GIB, total_bytes=80 * GIB, on_gpu=True, holds_scores=True, sorts_logits=False)
    config = EngineConfig(model=Path(), max_num_seqs=8, max_num_batched_tokens=8192)
    held, kernels = (
        plan_memory(GPT_OSS_20B, config, replace(machine, holds_scores=holds), 13 * GIB) for holds in (True, False)
    )
    assert kernels.kv_budget_bytes - held.kv_budget_bytes == held.workspace_bytes - kernels.workspace_bytes > 512 * MIB


class TestGpu:
    def test_gets_its_share_less_weights_and_workspace(self) -> None:
        planned = plan()
        assert planned.kv_budget_bytes == 72 * GIB - 13 * GIB - planned.workspace_bytes - planned.graphs_bytes
        assert planned.kv_budget_bytes - planned.kv_cache_bytes < 16 * 24 * KIB
        assert (planned.max_num_seqs, planned.max_model_len, planned.notes) == (256, 131072, ())
        assert planned.requests_at(131072) == planned.num_pages // 8192

    def test_more_utilization_means_more_pages(self) -> None:
        assert plan(gpu_memory_utilization=0.95).num_pages > plan().num_pages

    def test_two_servers_get_the_same_share(self) -> None:
        first = plan(memory=80 * GIB, gpu_memory_utilization=0.45)
        second = plan(memory=44 * GIB, total=80 * GIB, gpu_memory_utilization=0.45)
        assert first == second

    @pytest.mark.parametrize(("share", "used"), [(0.45, 27), (0.9, 27), (0.93, 27.9), (0.95, 28), (1.0, 28)])
    def test_of_what_others_leave_it_takes_nine_tenths_or_leaves_some(self, share: float, used: float) -> None:
        planned = plan(memory=30 * GIB, total=80 * GIB, gpu_memory_utilization=share)
        fixed = 13 * GIB + planned.workspace_bytes + planned.graphs_bytes
        assert planned.kv_budget_bytes == int(used * GIB) - fixed

    def test_lowers_the_requests_before_the_length(self) -> None:
        planned = plan(memory=20 * GIB)
        assert 16 <= planned.max_num_seqs < 256
        assert planned.max_model_len == 131072
        assert [note.split(" lowered")[0] for note in planned.notes] == ["max_num_seqs"]

    def test_lowers_the_length_to_what_fits(self) -> None:
        planned = plan(memory=18 * GIB)
        assert planned.max_num_seqs == 16
        assert planned.max_model_len == planned.num_pages * 16 < 131072
        assert [note.split(" lowered")[0] for note in planned.notes] == ["max_num_seqs", "max_model_len"]

    def test_plans_no_more_requests_than_can_decode_in_one_step(self) -> None:
        planned = plan(memory=80 * GIB, max_num_batched_tokens=64)
        assert (planned.max_num_seqs, planned.notes) == (64, ())

    def test_keeps_an_explicit_number_of_requests(self) -> None:
        planned = plan(memory=19 * GIB, max_num_seqs=200)
        assert planned.max_num_seqs == 200
        assert planned.max_model_len < 131072

    def test_an_explicit_length_costs_requests_down_to_one(self) -> None:
        needed = (
            13 * GIB
            + workspace_bytes(GPT_OSS_20B, "bfloat16", 2048, 1, holds_scores=False, sorts_logits=False)
            + 3075 * MIB
        )
        needed += graphs_bytes(GPT_OSS_20B, "bfloat16", 1, 131072 // 16)
        memory = math.ceil(needed / FREE_SHARE)
        planned = plan(memory=memory, max_model_len=131072)
        assert (planned.max_num_seqs, planned.requests_at(131072)) == (1, 1)
        with pytest.raises(MemoryPlanError, match=r"a request of 131,072 tokens needs 3,072\.0 MiB of pages"):
            plan(memory=memory - 2, max_model_len=131072)

    def test_the_error_names_the_flag_that_helps(self) -> None:
        with pytest.raises(MemoryPlanError, match=r"max-num-seqs; it would fit with --kv-cache-dtype fp8$"):
            plan(memory=17 * GIB, max_model_len=131072)  # Of which nine tenths are all that can be taken.
        with pytest.raises(MemoryPlanError, match=r"raise --gpu-memory-utilization; it would fit"):
            plan(memory=24 * GIB, weights=int(19.2 * GIB), max_model_len=131072)
        with pytest.raises(MemoryPlanError, match=r"raise --kv-cache-memory-bytes$"):
            plan(memory=80 * GIB, kv_cache_memory_bytes=GIB, max_model_len=131072)

    @pytest.mark.parametrize(
        ("memory", "settings", "flags"),
        [
            (16.0, {"max_num_batched_tokens": 8192}, "--max-num-batched-tokens 512"),
            (14.5, {}, "--quantization fp8"),
            (14.5, {"max_num_batched_tokens": 8192}, "--max-num-batched-tokens 512 --quantization fp8"),
            (14.5, {"max_num_batched_tokens": 300}, "--quantization fp8"),
            (19.0, {"max_num_batched_tokens": 8192, "max_num_seqs": 513}, "--quantization fp8"),
            (15.0, {"max_model_len": 30000}, "--quantization fp8"),
            (14.8, {"max_model_len": 60000}, "--quantization fp8 --kv-cache-dtype fp8"),
            (
                14.8,
                {"max_model_len": 60000, "max_num_batched_tokens": 8192},
                "--max-num-batched-tokens 512 --quantization fp8 --kv-cache-dtype fp8",
            ),
        ],
    )
    def test_a_shortage_names_the_flags_with_which_there_is_a_plan(
        self, memory: float, settings: dict[str, Any], flags: str
    ) -> None:
        """20b, tiled for the GPU, 12.8 GiB of it in bfloat16."""

        def planned(**engine: Any) -> MemoryPlan:
            kind = engine.get("quantization", "none")
            weights = weights_bytes(GPT_OSS_20B, "bfloat16", "mxfp4", kind, tiled=True)
            return plan(weights=weights, memory=int(memory * GIB), **engine)

        with pytest.raises(MemoryPlanError) as caught:
            planned(**settings)
        print(caught.value)
        assert f"with {flags}" in str(caught.value)
        words = flags.split()
        named = {name[2:].replace("-", "_"): value for name, value in zip(words[::2], words[1::2], strict=True)}
        planned(**settings | {name: int(value) if value.isdigit() else value for name, value in named.items()})

    def test_weights_that_do_not_fit(self) -> None:
        with pytest.raises(MemoryPlanError, match=r"weights of 13\.0 GiB .* 14\.0 GiB .*utilization 0\.9"):
            plan(memory=14 * GIB)


class TestCpu:
    def test_takes_a_quarter_of_what_is_left(self) -> None:
        planned = plan(memory=32 * GIB, gpu=False)
        assert planned.kv_budget_bytes == (32 * GIB - 13 * GIB - planned.workspace_bytes) // 4
        assert planned.max_num_seqs == 16

    def test_takes_no_more_than_the_requests_can_use(self) -> None:
        planned = plan(memory=64 * GIB, gpu=False, max_num_seqs=2, max_model_len=1000)
        assert planned.num_pages == 2 * 63
        assert planned.kv_cache_bytes == 2 * (3 * MIB + 63 * 16 * 24 * KIB)


class TestExplicitBytes:
    def test_are_taken_as_given(self) -> None:
        for gpu in (True, False):
            planned = plan(gpu=gpu, kv_cache_memory_bytes=8 * GIB)
            assert planned.kv_budget_bytes == 8 * GIB
            assert planned.kv_cache_bytes > 8 * GIB - 16 * 24 * KIB

    def test_must_fit_beside_the_weights(self) -> None:
        with pytest.raises(MemoryPlanError, match=r"--kv-cache-memory-bytes of 70\.0 GiB do not fit"):
            plan(kv_cache_memory_bytes=70 * GIB)

    def test_leave_a_gpu_what_it_needs_beside(self) -> None:
        one = {"max_num_seqs": 1, "max_model_len": 1024}
        fixed = plan(kv_cache_memory_bytes=GIB, **one)
        left = 80 * GIB - fixed.weights_bytes - fixed.workspace_bytes - fixed.graphs_bytes
        plan(kv_cache_memory_bytes=left - KEPT_BYTES, **one)
        with pytest.raises(MemoryPlanError, match="do not fit"):
            plan(kv_cache_memory_bytes=left - KEPT_BYTES + 1, **one)


def test_a_length_beyond_the_positions_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="--max-model-len 131073 is beyond the model's 131072 positions"):
        plan(max_model_len=131073)


@pytest.mark.parametrize("kind", ["sliding_attention", "full_attention"])
def test_models_of_one_kind_of_layer(kind: Any) -> None:
    model = small_config(layer_types=(kind,) * 3)
    planned = plan(model, weights=0, memory=GIB, gpu=False)
    assert planned.max_model_len == model.max_position
    assert planned.requests_at(model.max_position) == 16
    assert (planned.kv.token == 0) == (kind == "sliding_attention")
    assert (planned.kv.rings == 0) == (kind == "full_attention")


@given(
    memory=st.integers(0, 40 * GIB),
    gpu=st.booleans(),
    page_size=st.sampled_from([1, 16, 100]),
    length=st.none() | st.integers(1, 131072),
    seqs=st.none() | st.integers(1, 600),
    kv=st.none() | st.integers(1, 30 * GIB),
)
def test_every_plan_fits_and_lets_one_full_request_run(
    memory: int, gpu: bool, page_size: int, length: int | None, seqs: int | None, kv: int | None
) -> None:
    try:
        planned = plan(
            memory=memory,
            gpu=gpu,
            page_size=page_size,
            max_model_len=length,
            max_num_seqs=seqs,
            kv_cache_memory_bytes=kv,
        )
    except MemoryPlanError:
        return
    assert planned.weights_bytes + planned.workspace_bytes + planned.graphs_bytes + planned.kv_cache_bytes <= memory
    assert planned.kv_cache_bytes <= planned.kv_budget_bytes
    assert 1 <= planned.max_model_len <= 131072
    assert planned.requests_at(planned.max_model_len) >= 1
    assert length is None or planned.max_model_len == length
    assert seqs is None or planned.max_num_seqs == seqs
    assert kv is None or planned.kv_budget_bytes == kv


def test_describe_says_what_was_planned() -> None:
    lines = describe(plan(memory=18 * GIB)).splitlines()
    assert lines[0].startswith("weights   13.0 GiB, workspace ")
    assert "16 slots with 3.0 MiB of rings" in lines[1]
    assert "pages of 16 tokens at 24.0 KiB a token" in lines[1]
    assert lines[2].endswith(" tokens, for 1 at once")
    assert [line[:10] for line in lines[3:]] == ["note      "] * 2


def test_docstring_examples() -> None:
    assert [size(24 * KIB), size(3075 * MIB), size(13 * GIB)] == ["24.0 KiB", "3,075.0 MiB", "13.0 GiB"]
    assert plan().pages_for(16) == 1
    assert plan().pages_for(17) == 2
