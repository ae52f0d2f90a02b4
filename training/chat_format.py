"""Renders the chat template that ships with the model as transformers' apply_chat_template does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE_PATH = Path(__file__).parent / "chat_template.jinja"


def raise_exception(message: str) -> None:
    raise TemplateError(message)


class ChatFormat:
    """Renders conversations to text, in which special tokens appear as their marks."""

    def __init__(self) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        environment.globals["raise_exception"] = raise_exception
        self._template = environment.from_string(TEMPLATE_PATH.read_text(encoding="utf-8"))

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        date: str,
        reasoning_effort: str = "medium",
        tools: Sequence[dict[str, Any]] | None = None,
        add_generation_prompt: bool = False,
    ) -> str:
        """`date` is YYYY-MM-DD. Without a generation prompt, an answer at the end is closed with <|return|>.

        Raises TemplateError if the conversation cannot be rendered.
        """
        return self._template.render(
            messages=messages,
            tools=tools,
            reasoning_effort=reasoning_effort,
            add_generation_prompt=add_generation_prompt,
            strftime_now=lambda _: date,
        )
