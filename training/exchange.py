"""What a generator of tasks gives: a question, and what the assistant does about it."""

from dataclasses import dataclass, field
from typing import Any, Literal

Effort = Literal["low", "medium", "high"]
EFFORTS: tuple[Effort, ...] = ("low", "medium", "medium", "high")


@dataclass(frozen=True, slots=True)
class Call:
    """A thought, a function's call, and what the function gives back."""

    thought: str
    name: str
    arguments: dict[str, Any]
    result: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """`thought` comes before `answer`; `calls` come before both. `expected` is what an answer is judged by."""

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
    """Questions and answers that went before."""
