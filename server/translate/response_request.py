"""From a request of `/v1/responses` to the chat that it is."""

from collections.abc import Iterator, Sequence
from typing import Any

from engine.errors import RequestError
from server.schemas.chat import ChatRequest
from server.schemas.input_items import FunctionResult, Item, PastFunctionCall, PastMessage, PastReasoning
from server.schemas.response_request import LOGPROBS, ResponseRequest
from server.schemas.response_tools import (
    AllowedFunctions,
    FunctionChoice,
    NamedFunctionTool,
    ResponseToolChoice,
    functions,
    qualified,
)
from server.schemas.sampling import SamplingFields
from server.schemas.tools import (
    AllowedTools,
    AllowedToolsChoice,
    FunctionDefinition,
    NamedFunction,
    NamedTool,
    NamedToolChoice,
    ToolChoice,
)
from server.schemas.validation import validated
from server.translate.carried import read_carried
from server.translate.chat import assistant_message

OWN_NAMES = {
    "messages": "input",
    "prompt": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
}
"""What a chat's fields are called here, where that is another name."""


def chat_request(body: ResponseRequest, items: Sequence[Item]) -> ChatRequest:
    """The same request as a chat: `items` are its whole conversation. Raises RequestError."""
    chat: dict[str, Any] = {
        name: getattr(body, name) for name in SamplingFields.model_fields if name in body.model_fields_set
    }
    chat |= {
        "messages": list(messages(body.instructions, items)),
        "max_completion_tokens": body.max_output_tokens,
        "logprobs": LOGPROBS in body.include or body.top_logprobs > 0,
        "top_logprobs": body.top_logprobs,
        "reasoning_effort": body.reasoning.effort,
        "current_date": body.current_date,
        "tools": [{"type": "function", "function": shown(*each)} for each in functions(body.tools)],
        "tool_choice": _tool_choice(body.tool_choice),
        "parallel_tool_calls": body.parallel_tool_calls,
        "response_format": body.text.format.response_format(),
    }
    return validated(ChatRequest, chat)


def shown(namespace: str | None, function: FunctionDefinition) -> FunctionDefinition:
    """A function as the model is shown it."""
    given = function.model_dump(
        exclude_unset=True, exclude={"type", "name", "allowed_callers", "output_schema", "defer_loading"}
    )
    return FunctionDefinition.model_construct(name=qualified(namespace, function.name), **given)


def messages(instructions: str | None, items: Sequence[Item]) -> Iterator[dict[str, Any]]:
    """The items as a chat's messages: what an assistant thought, said and called is one message, as in a chat's answer,
    in which calls that were made at once stand together. Reasoning that led to nothing is left out. Raises
    RequestError.
    """
    if instructions is not None:
        yield {"role": "developer", "content": instructions}
    turn: list[Item] = []
    called: set[str] = set()
    for item in items:
        belongs = not isinstance(item, FunctionResult) and (
            not isinstance(item, PastMessage) or item.role == "assistant"
        )
        if belongs:
            turn.append(item)
            called |= {item.call_id} if isinstance(item, PastFunctionCall) else set()
            continue
        yield from _assistant(turn)
        turn = []
        if isinstance(item, FunctionResult):
            if item.call_id not in called:
                raise RequestError(f"input: there is no call {item.call_id[:200]!r} to have an output", param="input")
            yield {"role": "tool", "tool_call_id": item.call_id, "content": item.output}
        elif isinstance(item, PastMessage):
            yield {"role": item.role, "content": item.content}
    yield from _assistant(turn)


def _assistant(turn: Sequence[Item]) -> Iterator[dict[str, Any]]:
    said = [item.content for item in turn if isinstance(item, PastMessage)]
    thought = [reasoning(item) for item in turn if isinstance(item, PastReasoning)]
    calls = [item for item in turn if isinstance(item, PastFunctionCall)]
    if said or calls:
        yield assistant_message(
            said,
            thought,
            [
                {
                    "id": call.call_id,
                    "function": {"name": qualified(call.namespace, call.name), "arguments": call.arguments},
                }
                for call in calls
            ],
        )


def reasoning(item: PastReasoning) -> str:
    """Its text, in whichever form it came. Raises RequestError."""
    if item.content or item.encrypted_content is None:
        return item.content or ""
    return read_carried(item.encrypted_content, "the encrypted_content of a reasoning item", param="input")


def _tool_choice(choice: ResponseToolChoice) -> ToolChoice:
    if isinstance(choice, AllowedFunctions):
        named = [NamedTool(type="function", function=_named(each)) for each in choice.tools]
        allowed = AllowedTools.model_construct(mode=choice.mode, tools=named)
        return AllowedToolsChoice(type="allowed_tools", allowed_tools=allowed)
    if isinstance(choice, FunctionChoice):
        return NamedToolChoice(type="function", function=_named(choice))
    return choice


def _named(tool: NamedFunctionTool) -> NamedFunction:
    return NamedFunction.model_construct(name=qualified(tool.namespace, tool.name))
