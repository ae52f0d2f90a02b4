"""The names of a checkpoint's tensors, as data: one table per layout.

A row gives a tensor's name on disk, its shape in the model's terms, and where in `engine.model.weights` it
goes. Dimensions: q = heads·head_dim, kv = kv_heads·head_dim, qkv = q + 2·kv, inner = intermediate size,
x/32 = the 32-wide MXFP4 blocks of a row of x, each 16 bytes.
"""

from dataclasses import dataclass
from typing import Literal

from engine.config import ExpertFormat, ModelConfig

LayoutName = Literal["huggingface", "openai"]

FLOATS = frozenset({"BF16", "F16", "F32"})
BYTES = frozenset({"U8"})
BLOCK_COLUMNS = 32
BLOCK_BYTES = 16


@dataclass(frozen=True, slots=True)
class Row:
    """`part` names the rows of a fused destination that this tensor fills."""

    name: str
    shape: str
    destination: str
    part: Literal["", "q", "k", "v"] = ""
    transpose: bool = False
    dtypes: frozenset[str] = FLOATS


def packed(name: str, shape: str, destination: str) -> Row:
    return Row(name, shape, destination, dtypes=BYTES)


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of the model, of a layer and of its experts in either format.

    `prefix`, with the layer's number, comes before the names of the latter two.
    """

    prefix: str
    model: tuple[Row, ...]
    layer: tuple[Row, ...]
    mxfp4: tuple[Row, ...]
    dense: tuple[Row, ...] = ()


LAYOUTS: dict[LayoutName, Layout] = {
    "huggingface": Layout(
        prefix="model.layers.{}.",
        model=(
            Row("model.embed_tokens.weight", "vocab hidden", "embedding"),
            Row("model.norm.weight", "hidden", "norm"),
            Row("lm_head.weight", "vocab hidden", "unembedding"),
        ),
        layer=(
            Row("input_layernorm.weight", "hidden", "attention_norm"),
            Row("self_attn.q_proj.weight", "q hidden", "qkv.weight", "q"),
            Row("self_attn.q_proj.bias", "q", "qkv.bias", "q"),
            Row("self_attn.k_proj.weight", "kv hidden", "qkv.weight", "k"),
            Row("self_attn.k_proj.bias", "kv", "qkv.bias", "k"),
            Row("self_attn.v_proj.weight", "kv hidden", "qkv.weight", "v"),
            Row("self_attn.v_proj.bias", "kv", "qkv.bias", "v"),
            Row("self_attn.sinks", "heads", "sinks"),
            Row("self_attn.o_proj.weight", "hidden q", "attention_out.weight"),
            Row("self_attn.o_proj.bias", "hidden", "attention_out.bias"),
            Row("post_attention_layernorm.weight", "hidden", "mlp_norm"),
            Row("mlp.router.weight", "experts hidden", "router.weight"),
            Row("mlp.router.bias", "experts", "router.bias"),
            Row("mlp.experts.gate_up_proj_bias", "experts 2inner", "gate_up.bias"),
            Row("mlp.experts.down_proj_bias", "experts hidden", "down.bias"),
        ),
        mxfp4=(
            packed("mlp.experts.gate_up_proj_blocks", "experts 2inner hidden/32 16", "gate_up.blocks"),
            packed("mlp.experts.gate_up_proj_scales", "experts 2inner hidden/32", "gate_up.scales"),
            packed("mlp.experts.down_proj_blocks", "experts hidden inner/32 16", "down.blocks"),
            packed("mlp.experts.down_proj_scales", "experts hidden inner/32", "down.scales"),
        ),
        dense=(
            Row("mlp.experts.gate_up_proj", "experts hidden 2inner", "gate_up.dense", transpose=True),
            Row("mlp.experts.down_proj", "experts inner hidden", "down.dense", transpose=True),
        ),
    ),
    "openai": Layout(
        prefix="block.{}.",
        model=(
            Row("embedding.weight", "vocab hidden", "embedding"),
            Row("norm.scale", "hidden", "norm"),
            Row("unembedding.weight", "vocab hidden", "unembedding"),
        ),
        layer=(
            Row("attn.norm.scale", "hidden", "attention_norm"),
            Row("attn.qkv.weight", "qkv hidden", "qkv.weight"),
            Row("attn.qkv.bias", "qkv", "qkv.bias"),
            Row("attn.sinks", "heads", "sinks"),
            Row("attn.out.weight", "hidden q", "attention_out.weight"),
            Row("attn.out.bias", "hidden", "attention_out.bias"),
            Row("mlp.norm.scale", "hidden", "mlp_norm"),
            Row("mlp.gate.weight", "experts hidden", "router.weight"),
            Row("mlp.gate.bias", "experts", "router.bias"),
            Row("mlp.mlp1_bias", "experts 2inner", "gate_up.bias"),
            Row("mlp.mlp2_bias", "experts hidden", "down.bias"),
        ),
        mxfp4=(
            packed("mlp.mlp1_weight.blocks", "experts 2inner hidden/32 16", "gate_up.blocks"),
            packed("mlp.mlp1_weight.scales", "experts 2inner hidden/32", "gate_up.scales"),
            packed("mlp.mlp2_weight.blocks", "experts hidden inner/32 16", "down.blocks"),
            packed("mlp.mlp2_weight.scales", "experts hidden inner/32", "down.scales"),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Source:
    """What a tensor on disk must be, and where it goes.

    It fills the rows [first, past the last) of its destination, or all of it, its last two dimensions swapped
    if `transpose`. One that is `optional` (an unembedding that is tied to the embedding) is checked, but not
    read.
    """

    shape: tuple[int, ...]
    dtypes: frozenset[str]
    destination: str
    rows: tuple[int, int] | None = None
    transpose: bool = False
    optional: bool = False


def expected_tensors(config: ModelConfig, layout: LayoutName, experts: ExpertFormat) -> dict[str, Source]:
    """Every tensor that a checkpoint of this model has, by its name on disk."""
    q, kv = config.q_size, config.kv_size
    hidden, inner = config.hidden_size, config.intermediate_size
    sizes = {
        "vocab": config.vocab_size,
        "hidden": hidden,
        "heads": config.num_heads,
        "q": q,
        "kv": kv,
        "qkv": config.qkv_size,
        "experts": config.num_experts,
        "inner": inner,
        "2inner": 2 * inner,
        "hidden/32": hidden // BLOCK_COLUMNS,
        "inner/32": inner // BLOCK_COLUMNS,
        "16": BLOCK_BYTES,
    }
    parts = {"": None, "q": (0, q), "k": (q, q + kv), "v": (q + kv, q + 2 * kv)}

    def source(row: Row, prefix: str = "", *, optional: bool = False) -> Source:
        shape = tuple(sizes[dimension] for dimension in row.shape.split())
        return Source(shape, row.dtypes, prefix + row.destination, parts[row.part], row.transpose, optional)

    table = LAYOUTS[layout]
    expected = {}
    for row in table.model:
        tied = row.destination == "unembedding" and config.tie_word_embeddings
        expected[row.name] = source(row, optional=tied)
    for layer in range(config.num_layers):
        for row in (*table.layer, *(table.mxfp4 if experts == "mxfp4" else table.dense)):
            expected[table.prefix.format(layer) + row.name] = source(row, f"layers.{layer}.")
    return expected


def recognise(names: set[str]) -> tuple[LayoutName, ExpertFormat]:
    """The layout and expert format that a checkpoint's tensor names indicate."""
    layout: LayoutName = "openai" if any(name.startswith("block.") for name in names) else "huggingface"
    if layout == "openai" or any(name.endswith(("_proj_blocks", "_proj_scales")) for name in names):
        return layout, "mxfp4"
    return layout, "dense"
