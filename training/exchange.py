"""The output of a task generator: a question, and the assistant's calls and answer."""

from dataclasses import dataclass, field
from typing import Any, Literal

Effort = Literal["low", "medium", "high"]
EFFORTS: tuple[Effort, ...] = ("low", "medium", "medium", "high")


@dataclass(frozen=True, slots=True)
class Call:
    """A thought, a function call, and the function's result."""

    thought: str
    name: str
    arguments: dict[str, Any]
    result: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """`thought` comes before `answer`; `calls` come before both. Answers are judged by `expected`."""

    question: str
    thought: str
    answer: str
    expected: str = ""
    effort: Effort = "medium"
    instructions: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    schema: dict[str, Any] | None = None
    calls: tuple[Call, ...] = ()
    history: tuple[tuple[str, str], ...] = field(default=())
    """Earlier questions and answers."""
