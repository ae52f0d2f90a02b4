"""From a request of `/v1/messages` to the chat that it is."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from engine.errors import RequestError
from server.schemas.anthropic_blocks import (
    AnthropicTurn,
    Block,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from server.schemas.anthropic_request import AnthropicPrompt, AnthropicRequest
from server.schemas.anthropic_tools import AnthropicToolChoice, ClientTool
from server.schemas.chat import ChatRequest, ReasoningEffort
from server.schemas.sampling import SamplingFields
from server.schemas.structured import NAMELESS, JsonSchema, ResponseFormat
from server.schemas.tools import FunctionDefinition, NamedFunction, NamedToolChoice, Tool, ToolChoice
from server.schemas.validation import validated
from server.translate.carried import MARK, read_carried
from server.translate.chat import PARTING, assistant_message

OWN_NAMES = {
    "prompt": "messages",
    "max_completion_tokens": "max_tokens",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "stop": "stop_sequences",
}
"""The names of a chat's fields here, where they differ."""
BILLING = "x-anthropic-billing-header:"
LOW_BUDGET, MEDIUM_BUDGET = 4_096, 16_384
"""Budgets of reasoning, in tokens, from which the effort is medium and high."""


def as_chat(body: AnthropicPrompt) -> ChatRequest:
    """The same request as a chat. Raises RequestError."""
    choice = body.tool_choice
    chat: dict[str, Any] = {
        "model": body.model,
        "messages": list(messages(body.system, body.messages)),
        "reasoning_effort": effort(body),
        "current_date": body.current_date,
        "tools": [Tool.model_construct(type="function", function=function(tool)) for tool in body.tools],
        "tool_choice": tool_choice(choice),
        "parallel_tool_calls": not choice.disable_parallel_tool_use,
        "response_format": response_format(body),
    }
    if isinstance(body, AnthropicRequest):
        given = body.model_fields_set - {"stop", "model"}
        chat |= {name: getattr(body, name) for name in SamplingFields.model_fields if name in given}
        chat |= {"max_completion_tokens": body.max_tokens, "stop": body.stop_sequences}
    return validated(ChatRequest, chat)


def messages(system: Sequence[TextBlock], turns: Sequence[AnthropicTurn]) -> Iterator[dict[str, Any]]:
    """The conversation as a chat's messages. Adjacent turns of the assistant become one message. Raises RequestError
    for a result without a call."""
    beginning = next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))
    instructions = [block for blocks in (system, *(turn.content for turn in turns[:beginning])) for block in blocks]
    if told := of_the_system(instructions):
        yield {"role": "system", "content": told}
    called: set[str] = set()
    spoken: list[Block] = []
    reminders: list[str] = []
    for at, turn in enumerate(turns[beginning:], start=beginning):
        if turn.role == "assistant":
            spoken += turn.content
            called |= {block.id for block in turn.content if isinstance(block, ToolUseBlock)}
            continue
        if turn.role == "system":
            reminders += filter(None, [of_the_system(turn.content)])
            if any(isinstance(block, ToolUseBlock) for block in spoken):
                continue  # Calls and their results must stay together.
        yield from assistant(spoken)
        spoken = []
        if turn.role == "user":
            yield from user(turn, called, f"messages[{at}]")
        for told in reminders:
            yield {"role": "system", "content": told}
        reminders = []
    yield from assistant(spoken)


def user(turn: AnthropicTurn, called: Collection[str], place: str) -> Iterator[dict[str, Any]]:
    """A user's turn as messages: one for every result, and one for the text between results. Raises RequestError for a
    result whose call is not among those `called`."""
    said: list[Block] = []
    for block in turn.content:
        if not isinstance(block, ToolResultBlock):
            said.append(block)
            continue
        if block.tool_use_id not in called:
            message = f"{place}: there is no tool_use {block.tool_use_id[:200]!r} to have a result"
            raise RequestError(message, param=place)
        if said:
            yield {"role": "user", "content": joined(said)}
        said = []
        yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": result(block)}
    if said or not turn.content:
        yield {"role": "user", "content": joined(said)}


def joined(blocks: Sequence[Block]) -> str:
    return PARTING.join(block.text for block in blocks if isinstance(block, TextBlock))


def of_the_system(blocks: Sequence[Block]) -> str:
    """The system's text, without the line that Claude Code adds for its own server: it differs in every request."""
    texts = (block.text for block in blocks if isinstance(block, TextBlock))
    told = (text.partition("\n")[2] if text.startswith(BILLING) else text for text in texts)
    return PARTING.join(filter(None, told))


def result(block: ToolResultBlock) -> str:
    """A call's result, or its error."""
    text = joined(block.content)
    return ": ".join(filter(None, ("Error", text))) if block.is_error else text


def assistant(blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
    """The assistant's texts and calls as one message; none if there are neither."""
    said = [block.text for block in blocks if isinstance(block, TextBlock)]
    thought = [thinking(block) for block in blocks if isinstance(block, ThinkingBlock)]
    calls = [
        {"id": block.id, "function": {"name": block.name, "arguments": json.dumps(block.input, ensure_ascii=False)}}
        for block in blocks
        if isinstance(block, ToolUseBlock)
    ]
    if said or calls:
        yield assistant_message(said, thought, calls)


def thinking(block: ThinkingBlock) -> str:
    """The reasoning; empty if only another server can read it. Raises RequestError."""
    if block.thinking or not block.signature.startswith(MARK):
        return block.thinking
    return read_carried(block.signature, "the signature of a thinking block", param="messages")


def effort(body: AnthropicPrompt) -> ReasoningEffort:
    """The reasoning effort.

    >>> from server.schemas.anthropic_request import AnthropicPrompt
    >>> asked = {"messages": [{"role": "user", "content": "Hi"}]}
    >>> told = [{}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"output_config": {"effort": "max"}}]
    >>> [effort(AnthropicPrompt.model_validate(asked | each)) for each in told]
    ['medium', 'low', 'max']
    >>> budgets = [{"type": "enabled", "budget_tokens": tokens} for tokens in (4095, 4096, 16383, 16384)]
    >>> [effort(AnthropicPrompt.model_validate(asked | {"thinking": each})) for each in budgets]
    ['low', 'medium', 'medium', 'high']
    """
    if body.thinking is not None and body.thinking.type == "disabled":
        return "none"
    if body.output_config.effort is not None:
        return body.output_config.effort
    budget = None if body.thinking is None else body.thinking.budget_tokens
    if budget is None:
        return "medium"
    return "low" if budget < LOW_BUDGET else "medium" if budget < MEDIUM_BUDGET else "high"


def function(tool: ClientTool) -> FunctionDefinition:
    """The tool as the model sees it."""
    given: dict[str, Any] = {"name": tool.name, "parameters": tool.input_schema, "strict": tool.strict}
    examples = "".join(f"\n{json.dumps(each, ensure_ascii=False)}" for each in tool.input_examples)
    described = PARTING.join(filter(None, (tool.description, f"Examples:{examples}" if examples else "")))
    if described:
        given["description"] = described
    return FunctionDefinition.model_construct(**given)


def tool_choice(choice: AnthropicToolChoice) -> ToolChoice:
    match choice.type:
        case "auto" | "none":
            return choice.type
        case "any":
            return "required"
        case "tool":
            named = NamedFunction.model_construct(name=choice.name)
            return NamedToolChoice.model_construct(type="function", function=named)


def response_format(body: AnthropicPrompt) -> ResponseFormat | None:
    wanted = body.output_config.format or body.output_format
    if wanted is None:
        return None
    schema = JsonSchema.model_validate({"name": NAMELESS, "schema": wanted.body, "strict": True})
    return ResponseFormat(type="json_schema", json_schema=schema)
