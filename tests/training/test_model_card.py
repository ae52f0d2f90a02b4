from pathlib import Path

from tokenizers import Tokenizer

from training.export import export
from training.model import GptOss
from training.model_card import PICTURE, TASKS, write_model_card
from training.score import TARGETS

LOG = [
    {"step": "100", "tokens": "1000", "seconds": "60", "training loss": "2.5", "held-out loss": "2.6"},
    {"step": "200", "tokens": "2000", "seconds": "120", "training loss": "1.5", "held-out loss": "1.7"},
]


def test_the_card_tells_what_was_measured(random_model: GptOss, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    export(random_model, tiny_tokenizer, tmp_path)
    scores = {kind: {"0.0": 1.0, "0.7": 0.97} for kind in TASKS} | {"text": {"0.0": 0.93, "0.7": 0.41}}
    scored = {"count": 100, "scores": scores, "reasoning": {"low": 10.4, "medium": 20.0, "high": 30.0}}
    write_model_card(tmp_path, LOG, scored, "an abacus")
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "It falls short in text." in card
    assert "200 steps, 2,000 tokens in 2 minutes |" in card
    assert "| trained on | an abacus |" in card
    assert "| 1.7 nats" in card
    assert "| 90% | 93% | 41% |" in card
    assert "low, medium and high an `analysis` of a sum has 10, 20, 30 characters" in card
    assert "{" not in card
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_every_kind_has_a_target_and_a_description() -> None:
    assert set(TASKS) == set(TARGETS)
