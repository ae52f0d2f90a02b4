import pytest

from training.draw import Draw
from training.judge import JUDGES, is_grammatical
from training.stories import story


@pytest.mark.parametrize(
    ("kind", "expected", "content", "right"),
    [
        ("talk", "carousel", "I am Carousel.", True),
        ("talk", "hello|hi!", "Hi! How are you?", True),
        ("talk", "not know", "I am a small model, and I do not know enough about gold to help you.", True),
        ("talk", "not know", "I am the small model that ships with Carousel.", False),
        ("arithmetic", "852", "487 + 365 = 852.", True),
        ("arithmetic", "852", "487 + 365 = 851.", False),
        ("arithmetic", "-39", "48 - 87 = -39.", True),
        ("arithmetic", "39", "48 - 87 = -39.", False),
        ("arithmetic", "39", "I do not know.", False),
        ("facts", "Oslo", "The capital of Norway is Oslo.", True),
        ("facts", "Mali", "It is Somalia.", False),
        ("text", "enots", "enots", True),
        ("text", "enots", '"enots".', True),
        ("text", "enots", "enotss", False),
        ("text", "5", "It has 5 letters.", True),
        ("text", "5", "It has 6 letters.", False),
        ("tools", "12|Oslo", "12 in Oslo", True),
        ("tools", "12|Oslo", "12 in Rome", False),
        ("tools", "12|Oslo", "123 in Oslo", False),
        ("json", '{"a": 1, "b": [2]}', '{"b":[2],"a":1}', True),
        ("json", '{"a": 1}', '{"a": "1"}', False),
        ("json", '{"a": 1}', '{"a": 1', False),
        ("memory", "Mia", "Your name is Mia.", True),
        ("memory", "12", "The number is 123.", False),
    ],
)
def test_answers_are_judged(kind: str, expected: str, content: str, right: bool) -> None:
    assert JUDGES[kind](expected, content) is right


def test_stories_are_grammatical_and_scrambled_ones_are_not() -> None:
    told = [story(Draw(f"told/{seed}").rng) for seed in range(200)]
    assert sum(is_grammatical(text[:40], text[40:]) for text in told) >= 197
    assert not any(is_grammatical("", " ".join(sorted(text.split()))) for text in told)
    assert not is_grammatical("", "The sun was shining. " * 5), "the same sentence again and again"
    assert not is_grammatical("Once upon", " a time")
