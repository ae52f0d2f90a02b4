"""From a request of `/v1/messages` to the chat that it is."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from engine.errors import RequestError
from server.body import as_request_error
from server.schemas.anthropic_blocks import (
    AnthropicTurn,
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
from server.translate.carried import MARK, read_carried
from server.translate.chat import PARTING

OWN_NAMES = {
    "prompt": "messages",
    "max_completion_tokens": "max_tokens",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "stop": "stop_sequences",
}
"""What a chat's fields are called here, where that is another name."""
LOW_BUDGET, MEDIUM_BUDGET = 4_096, 16_384
"""Tokens of reasoning from which on the effort is medium, and high."""


def chat_prompt_fields(body: AnthropicPrompt) -> dict[str, Any]:
    """What a chat has of what its model is shown."""
    choice = body.tool_choice
    return {
        "model": body.model,
        "messages": list(messages(body.system, body.messages)),
        "reasoning_effort": effort(body),
        "current_date": body.current_date,
        "tools": [Tool.model_construct(type="function", function=function(tool)) for tool in body.tools],
        "tool_choice": tool_choice(choice),
        "parallel_tool_calls": not choice.disable_parallel_tool_use,
        "response_format": response_format(body),
    }


def as_chat(body: AnthropicPrompt) -> ChatRequest:
    """The same request as a chat. Raises RequestError."""
    chat = chat_prompt_fields(body)
    if isinstance(body, AnthropicRequest):
        given = body.model_fields_set - {"stop", "model"}
        chat |= {name: getattr(body, name) for name in SamplingFields.model_fields if name in given}
        chat |= {"max_completion_tokens": body.max_tokens, "stop": body.stop_sequences}
    try:
        return ChatRequest.model_validate(chat)
    except ValidationError as error:
        raise as_request_error(error.errors(include_url=False)[0]) from error


def messages(system: Sequence[TextBlock], turns: Sequence[AnthropicTurn]) -> Iterator[dict[str, Any]]:
    """The conversation as a chat's messages: every result is one, and what is said between them. Raises RequestError
    for a result of no call."""
    if system:
        yield {"role": "system", "content": joined(system)}
    called: set[str] = set()
    for at, turn in enumerate(turns):
        if turn.role == "assistant":
            yield assistant(turn)
            called |= {block.id for block in turn.content if isinstance(block, ToolUseBlock)}
            continue
        said: list[TextBlock] = []
        for block in turn.content:
            if isinstance(block, ToolResultBlock):
                if block.tool_use_id not in called:
                    message = f"messages[{at}]: there is no tool_use {block.tool_use_id[:200]!r} to have a result"
                    raise RequestError(message, param=f"messages[{at}]")
                if said:
                    yield {"role": turn.role, "content": joined(said)}
                said = []
                yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": joined(block.content)}
            elif isinstance(block, TextBlock):
                said.append(block)
        if said or not turn.content:
            yield {"role": turn.role, "content": joined(said)}


def joined(blocks: Sequence[TextBlock]) -> str:
    return PARTING.join(block.text for block in blocks)


def assistant(turn: AnthropicTurn) -> dict[str, Any]:
    said = [block for block in turn.content if isinstance(block, TextBlock)]
    thought = [thinking(block) for block in turn.content if isinstance(block, ThinkingBlock)]
    calls = [block for block in turn.content if isinstance(block, ToolUseBlock)]
    return {
        "role": "assistant",
        "content": joined(said) if said else None,
        "reasoning": PARTING.join(filter(None, thought)),
        "tool_calls": [
            {"id": call.id, "function": {"name": call.name, "arguments": json.dumps(call.input, ensure_ascii=False)}}
            for call in calls
        ],
    }


def thinking(block: ThinkingBlock) -> str:
    """The reasoning; none where only another server could read it. Raises RequestError."""
    if block.thinking or not block.signature.startswith(MARK):
        return block.thinking
    return read_carried(block.signature)


def effort(body: AnthropicPrompt) -> ReasoningEffort:
    """How long the model reasons.

    >>> from server.schemas.anthropic_request import AnthropicPrompt
    >>> asked = {"messages": [{"role": "user", "content": "Hi"}]}
    >>> told = [{}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"output_config": {"effort": "max"}}]
    >>> [effort(AnthropicPrompt.model_validate(asked | each)) for each in told]
    ['medium', 'low', 'max']
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
    """The tool as the model is shown it."""
    given: dict[str, Any] = {"name": tool.name, "parameters": tool.input_schema, "strict": tool.strict}
    if tool.description is not None:
        given["description"] = tool.description
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
    wanted = body.output_config.format
    if wanted is None:
        return None
    schema = JsonSchema.model_validate({"name": NAMELESS, "schema": wanted.body, "strict": True})
    return ResponseFormat(type="json_schema", json_schema=schema)
