from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer

from training.export import export
from training.model import GptOss
from training.model_card import PICTURE, PICTURE_ONCE, TASKS, Trained, write_model_card
from training.score import TARGETS, Outcome

LOG = [
    {"step": "100", "tokens": "1000", "seconds": "60", "training loss": "2.5", "held-out loss": "2.6"},
    {"step": "200", "tokens": "2000", "seconds": "120", "training loss": "1.5", "held-out loss": "1.7"},
]
LONG = [{"step": "9000", "tokens": "12345678", "seconds": "9000", "training loss": "0.2", "held-out loss": "0.3"}]


def test_the_card_tells_what_was_measured(random_model: GptOss, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    export(random_model, tiny_tokenizer, tmp_path)
    scores = {kind: {"0.0": 1.0, "0.7": 0.97} for kind in TASKS} | {"text": {"0.0": 0.93, "0.7": 0.41}}
    outcomes = [
        asdict(Outcome(kind, t, "", "", "", number < 90 + 5 * t, "", 0))
        for kind in TASKS
        for t in (0.0, 0.7)
        for number in range(300)
    ]
    reasoning = {"low": 10.4, "medium": 20.0, "high": 30.0}
    scored = {"count": 300, "scores": scores, "reasoning": reasoning, "outcomes": outcomes}
    worse = {"scores": {kind: {"0.0": 0.88, "0.7": 0.79} for kind in TASKS}}
    write_model_card(tmp_path, Trained(LOG, scored, "an abacus"), Trained(LONG, worse, "a slide rule"))
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert "It falls short in text." in card
    assert "200 steps, 2,000 tokens in 2 minutes |" in card
    assert "| trained on | an abacus |" in card
    assert "| 1.7 nats" in card
    assert "| 90% | 93% | 41% |" in card
    assert "low, medium and high an `analysis` of a sum has 10, 20, 30 characters" in card
    assert "facts 90% and 94%, text 90% and 94%" in card
    assert "{" not in card
    assert "| 9,000 steps, 12,345,678 tokens in 2 h 30 min |" in card
    assert "| trained on | a slide rule |" in card
    assert "It reaches none of its targets yet." in card
    assert "| json | 95% | 88% | 79% |" in card
    for picture in (PICTURE, PICTURE_ONCE):
        assert f"]({picture})" in card
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_every_kind_has_a_target_and_a_description() -> None:
    assert set(TASKS) == set(TARGETS)
