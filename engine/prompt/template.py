"""A checkpoint's own chat template, run in a sandbox.

The settings are those of the `transformers` library, for which templates are written: trimmed blocks, `break`
and `continue`, `tojson` without HTML escapes, `raise_exception`, `strftime_now`, `generation` blocks.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import jinja2

from engine.errors import CheckpointError, RequestError
from engine.prompt.conversation import Conversation, Message
from engine.prompt.mask import Mask, strings
from engine.prompt.sandbox import DEADLINE, sandbox
from engine.prompt.tokenizer import MAX_CHARACTERS, Tokenizer

MAX_SECONDS = 10.0


class ChatTemplate:
    """A compiled template. Immutable and safe to use from several threads.

    No text of a conversation becomes a special token, whatever the template does with it; only what the
    template itself writes does. A later system message becomes a user message in `<system-reminder>` if the template
    does not show it.
    """

    def __init__(self, source: str, tokenizer: Tokenizer, variables: Mapping[str, str] | None = None) -> None:
        """`variables` are the tokens a template may name (bos_token, eos_token). Raises CheckpointError."""
        self._tokenizer = tokenizer
        self._variables = dict(variables or {})
        try:
            self._template = sandbox().from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise CheckpointError(f"chat template: {error}") from error

    def render(self, conversation: Conversation) -> list[int]:
        """The prompt's token ids. Raises RequestError if the template refuses the messages or overflows."""
        messages = [_for_template(turn) for turn in self._shown(conversation.turns())]
        tools = [_tool_for_template(tool) for tool in conversation.functions()]
        texts = list(strings([messages, tools]))
        if sum(map(len, texts)) > MAX_CHARACTERS:
            raise _refused(f"the messages are longer than {MAX_CHARACTERS} characters")
        mask = Mask(self._tokenizer.special_ids, texts)
        rendered = self._run(
            messages=mask.hide(messages),
            tools=mask.hide(tools) or None,
            reasoning_effort=conversation.effort(),
            add_generation_prompt=conversation.add_generation_prompt,
            strftime_now=_clock(conversation),
        )
        return self._tokenizer.encode_marked(rendered, plain=mask.reveal)

    def _shown(self, turns: list[Message]) -> list[Message]:
        first, *later = turns
        if all(turn["role"] != "system" for turn in later) or self._shows_later_instructions:
            return turns
        return [first, *map(_as_a_reminder, later)]

    @cached_property
    def _shows_later_instructions(self) -> bool:
        """Whether the template shows later system messages, in their places. The published one leaves them out."""
        conversation = Conversation(
            tuple({"role": role, "content": f"{role} {at}"} for at, role in enumerate(("user", "system", "user")))
        )
        messages = conversation.turns()
        try:
            rendered = self._run(
                messages=messages,
                tools=None,
                reasoning_effort=conversation.effort(),
                add_generation_prompt=True,
                strftime_now=_clock(conversation),
            )
        except RequestError:
            return False
        places = [rendered.find(message["content"]) for message in messages]
        return -1 not in places and places == sorted(places)

    def _run(self, **variables: Any) -> str:
        chunks, length, deadline = [], 0, time.monotonic() + MAX_SECONDS
        try:
            for chunk in self._template.generate(self._variables | variables | {DEADLINE: deadline}):
                chunks.append(chunk)
                length += len(chunk)
                if length > MAX_CHARACTERS:
                    raise _refused("the chat template makes too much of the messages")
        except RequestError:
            raise
        except Exception as error:  # a template may fail in any way that Python code can
            what, param = ("messages or tools", "tools") if variables["tools"] else ("messages", "messages")
            raise RequestError(f"the chat template refused the {what}: {error}", param=param) from error
        return "".join(chunks)


def _as_a_reminder(turn: Message) -> Message:
    if turn["role"] != "system":
        return turn
    return {"role": "user", "content": f"<system-reminder>\n{turn['content']}\n</system-reminder>"}


def _for_template(turn: Message) -> Message:
    """A message as the published template expects it: arguments as an object, and at most one text beside a call."""
    if "tool_calls" not in turn:
        return turn
    calls = [
        {**call, "function": {**call["function"], "arguments": _parsed(call["function"]["arguments"])}}
        for call in turn["tool_calls"]
    ]
    turn = {**turn, "tool_calls": calls}
    if "thinking" in turn and turn["content"]:
        turn |= {"thinking": f"{turn['thinking']}\n\n{turn['content']}", "content": ""}
    return turn


def _tool_for_template(tool: Message) -> Message:
    """A tool as the published template expects it: where there is a choice of values, a default must be a string."""
    function = tool["function"]
    if "parameters" not in function:
        return tool
    return {**tool, "function": {**function, "parameters": _schema_for_template(function["parameters"])}}


def _schema_for_template(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_schema_for_template(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    plain: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "properties" and isinstance(value, Mapping):  # Its keys are names, not keywords.
            plain[name] = {parameter: _schema_for_template(each) for parameter, each in value.items()}
        else:
            plain[name] = _schema_for_template(value)
    if ("enum" in schema or "oneOf" in schema) and not isinstance(schema.get("default", ""), str):
        plain["default"] = json.dumps(schema["default"], ensure_ascii=False)
    return plain


def _parsed(arguments: str) -> Any:
    """A call's arguments as the object that their JSON describes; anything but a Unicode JSON object stays a string."""
    try:
        parsed = json.loads(arguments)
        "".join(strings(parsed)).encode()
    except (ValueError, RecursionError):
        return arguments
    return parsed if isinstance(parsed, dict) else arguments


def _refused(message: str) -> RequestError:
    return RequestError(message, param="messages")


def _clock(conversation: Conversation) -> Callable[[str], str]:
    now = datetime.combine(conversation.day(), datetime.now().time())
    return now.strftime
