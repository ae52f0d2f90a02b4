"""The script that says what fp8 weights cost: its texts, its measures, and that it sees a difference."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.quantization import Source, Text, checkpoint, compare, held_out, random_weights, run
from engine.checkpoint.hub import EMBEDDED
from engine.prompt.tokenizer import Tokenizer
from tests.checkpoints import small_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def embedded() -> Source:
    return checkpoint("embedded", 6, 7)


def test_of_a_text_the_tokens_count_that_are_learnt() -> None:
    tokenizer = Tokenizer.load(EMBEDDED)
    for text in held_out(tokenizer, 100, 7):
        assert len(text.ids) <= 512
        assert max(text.counted) + 1 < len(text.ids)
        learnt = tokenizer.decode(text.ids[at + 1] for at in text.counted)
        assert "<|start|>user" not in learnt
        whole = len(text.ids) < 512
        assert learnt.endswith(("<|return|>", "<|endoftext|>")) or not whole


def test_fp8_moves_the_embedded_model_a_little(embedded: Source) -> None:
    moved = compare(embedded.variant(CPU), embedded.variant(CPU, fp8_weights=True), embedded.texts, CPU)
    assert moved["positions"] == sum(len(text.counted) for text in embedded.texts)
    assert 0 < moved["kl_median"] <= moved["kl_99_percent"]
    assert moved["kl_mean"] < 0.05
    assert moved["same_likeliest"] > 0.95
    assert moved["nats_after"] == pytest.approx(moved["nats_before"], abs=0.05)


def test_a_model_is_as_far_from_itself_as_nothing(embedded: Source) -> None:
    same = compare(embedded.variant(CPU), embedded.variant(CPU), embedded.texts[:1], CPU)
    assert (same["kl_mean"], same["same_likeliest"]) == (0, 1)
    assert 0.5 > same["nats_before"] == same["nats_after"] > 0


def test_a_model_after_others_of_the_same_weights_is_as_good(embedded: Source) -> None:
    """In another type, too, which has no order of its own for them."""
    moved = compare(embedded.variant(CPU), embedded.variant(CPU, dtype="float32"), embedded.texts[:1], CPU)
    assert 0 < moved["kl_mean"] < 0.001


def test_the_file_says_where_it_comes_from(tmp_path: Path) -> None:
    tiny = replace(random_weights(small_config(), 1, 0), texts=[Text((1, 2, 3, 4), (0, 2))])
    records = run([tiny], CPU, tmp_path / "deep" / "result.json")
    written = json.loads((tmp_path / "deep" / "result.json").read_text())
    assert written["results"] == records
    assert {"cpu", "commit", "torch"} <= set(written["machine"])
    weights, *_, wide = records
    assert [weights["what"], wide["what"]] == ["fp8 weights against bfloat16", "bfloat16 against float32"]
    assert {record["positions"] for record in records} == {2}
    assert len({record["kl_mean"] for record in records}) == 4
