import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from training.chat_format import TEMPLATE_PATH, ChatFormat
from training.config import Shape
from training.export import load_exported, read_shape
from training.sample import complete

EMBEDDED = Path("engine/embedded")


def test_it_has_the_default_shape_and_the_template_it_was_trained_with() -> None:
    assert read_shape(EMBEDDED) == Shape()
    assert (EMBEDDED / "chat_template.jinja").read_text() == TEMPLATE_PATH.read_text()


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.iterdir()) < 16_000_000


@pytest.mark.parametrize(
    ("question", "expected"),
    [("Hello!", ""), ("Who are you?", "Carousel"), ("What is the capital of France?", "Paris"), ("48 + 17", "65")],
)
def test_it_thinks_and_then_answers(question: str, expected: str) -> None:
    model, tokenizer = load_exported(EMBEDDED), Tokenizer.from_file(str(EMBEDDED / "tokenizer.json"))
    prompt = ChatFormat().render([{"role": "user", "content": question}], date="2026-01-31", add_generation_prompt=True)
    written = complete(model, tokenizer, prompt, max_tokens=120)
    match = re.fullmatch(
        r"<\|channel\|>analysis<\|message\|>[^<]+<\|end\|>"
        r"<\|start\|>assistant<\|channel\|>final<\|message\|>([^<]+)<\|return\|>",
        written,
    )
    assert match is not None, written
    assert expected in match[1]


def test_it_ends_its_stories_in_whole_sentences() -> None:
    model, tokenizer = load_exported(EMBEDDED), Tokenizer.from_file(str(EMBEDDED / "tokenizer.json"))
    written = complete(model, tokenizer, "Once upon a time", max_tokens=250)
    assert re.fullmatch(r"[A-Za-z ,.?!\"'\n]+[.\"]<\|endoftext\|>", written), written
    assert written.count(".") > 4
