"""lm-evaluation-harness gets the same scores from the server as from transformers on the same checkpoint."""

import json
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalCompletionsAPI
from transformers import AutoModelForCausalLM, AutoTokenizer, Mxfp4Config

from engine.checkpoint.hub import EMBEDDED

pytestmark = pytest.mark.filterwarnings("default")

QUESTIONS = [
    {"question": "The sky is", "choices": [" blue", " a dog", " running", " seven"], "answer": 0},
    {"question": "Once upon a", "choices": [" table", " time", " green"], "answer": 1},
    {"question": "The little girl was very", "choices": [" happy", " the", " of", " and"], "answer": 0},
    {"question": "He went to the", "choices": [" quickly.", " house.", " under.", " said."], "answer": 1},
    {"question": "🙂 One day,", "choices": [" Tim found a box.", " box a found Tim."], "answer": 0},
]
STARTS = [{"start": text} for text in ("Once upon a time", "The dog", "Every day Anna")]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Multiple choice by likelihood, perplexity of whole texts, greedy generation up to a full stop."""
    folder = tmp_path_factory.mktemp("tasks")

    def data(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        path = folder / f"{name}.json"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}}, "test_split": "test"}

    texts = [{"text": row["question"] + row["choices"][row["answer"]]} for row in QUESTIONS]
    return [
        {
            "task": "choice",
            **data("choice", QUESTIONS),
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "answer",
            "target_delimiter": "",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        },
        {
            "task": "perplexity",
            **data("perplexity", texts),
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}],
        },
        {
            "task": "generation",
            **data("generation", STARTS),
            "output_type": "generate_until",
            "doc_to_text": "{{start}}",
            "doc_to_target": "",
            "generation_kwargs": {"until": ["."], "max_gen_toks": 24, "do_sample": False},
            "metric_list": [{"metric": "exact_match"}],
        },
    ]


def evaluate(model: Any, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    found = lm_eval.simple_evaluate(model=model, tasks=tasks, log_samples=True, bootstrap_iters=0)
    assert found is not None
    return found


def test_the_scores_are_those_of_transformers(
    base_url: str, tasks: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    directory = str(Path(EMBEDDED))
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype="float32", quantization_config=Mxfp4Config(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(directory)
    here = evaluate(HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1), tasks)
    served = evaluate(
        LocalCompletionsAPI(
            base_url=f"{base_url}/completions",
            model="embedded",
            tokenizer=directory,
            tokenizer_backend="huggingface",
            batch_size=4,
            max_length=2048,
        ),
        tasks,
    )
    for task in ("choice", "perplexity", "generation"):
        scores = {key: value for key, value in here["results"][task].items() if isinstance(value, float)}
        assert scores
        assert {key: served["results"][task][key] for key in scores} == pytest.approx(scores, rel=1e-4), task
    for mine, theirs in zip(served["samples"]["choice"], here["samples"]["choice"], strict=True):
        ours = [float(value) for ((value, _),) in mine["resps"]]
        assert ours == pytest.approx([float(value) for ((value, _),) in theirs["resps"]], abs=1e-3)
    texts = [[sample["resps"] for sample in found["samples"]["generation"]] for found in (served, here)]
    assert texts[0] == texts[1]
