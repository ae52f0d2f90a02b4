"""A conversation as clients send it, and the same conversation as the model sees it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from engine.errors import RequestError
from engine.prompt.tool_schema import Copies, simplified

Message = dict[str, Any]

EFFORTS = {
    "none": "low", "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high",
}  # fmt: skip
"""The efforts that a client may ask for, and the model's own."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages and tools in the shape of OpenAI's chat API, each message's content a string or None.

    `current_date` is YYYY-MM-DD, None for today. `add_generation_prompt` ends the prompt with the beginning
    of the assistant's next message.
    """

    messages: tuple[Message, ...]
    tools: tuple[Message, ...] = ()
    reasoning_effort: str = "medium"
    current_date: str | None = None
    add_generation_prompt: bool = True

    def effort(self) -> str:
        """The reasoning effort in the model's terms. Raises RequestError for an unknown one."""
        if self.reasoning_effort not in EFFORTS:
            known = ", ".join(EFFORTS)
            raise RequestError(f"reasoning_effort must be one of {known}", param="reasoning_effort")
        return EFFORTS[self.reasoning_effort]

    def day(self) -> date:
        """The date that the model is given. Raises RequestError if `current_date` is not a date."""
        if self.current_date is None:
            return date.today()
        try:
            return date.fromisoformat(self.current_date)
        except ValueError as error:
            raise RequestError(f"current_date must be YYYY-MM-DD: {error}", param="current_date") from error

    def turns(self) -> list[Message]:
        """The messages as they are rendered.

        - Leading instructions (system and developer messages) are joined into one system message. Later ones are system
          messages in their places (those between calls and their results come after the results): joined at the front,
          each new one would change the whole prompt.
        - An assistant's reasoning, whatever its name, is `thinking`, and is kept only where the model should see it
          again: neither in an answer nor before one, because that reasoning is over.
        - A message calls at most one tool. Several calls become several messages, each followed by its
          result, as the model would have written them.
        - A tool's message has the called tool's `name`.

        Raises RequestError(param="messages") for an empty conversation, an unknown role, content that is not
        text, a malformed call, or a tool's message without a call.
        """
        if not self.messages:
            raise RequestError("messages must not be empty", param="messages")
        turns = [_plain(message) for message in self.messages]
        beginning = next((at for at, turn in enumerate(turns) if turn["role"] != "system"), len(turns))
        instructions = [turn["content"] for turn in turns[:beginning]]
        turns = list(_one_call_each(list(_behind_results(turns[beginning:]))))
        _name_tools(turns)
        _drop_finished_reasoning(turns, keep_last=not self.add_generation_prompt)
        head = [{"role": "system", "content": "\n\n".join(instructions)}] if instructions else []
        return head + turns

    def functions(self) -> list[Message]:
        """The tools as they are rendered: each with a description, perhaps empty, and a simplified schema.

        Raises RequestError(param="tools") for a tool that is not a function with a name.
        """
        copies = Copies()
        return [_function_tool(tool, copies) for tool in self.tools]


def _function_tool(tool: Message, copies: Copies) -> Message:
    function = tool.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RequestError("a tool must have a function with a name", param="tools")
    description = function.get("description") or ""
    if not isinstance(description, str):
        raise RequestError("the description of a tool must be text", param="tools")
    plain = {**function, "description": description}
    if isinstance(parameters := function.get("parameters"), Mapping):
        plain["parameters"] = simplified(parameters, copies)
    return {**tool, "function": plain}


def _plain(message: Message) -> Message:
    role, content = message.get("role"), message.get("content")
    if content is not None and not isinstance(content, str):
        raise _unrenderable(f"the content of a message must be text, got {type(content).__name__}")
    plain = {"role": role, "content": content or ""}
    match role:
        case "system" | "developer":
            plain["role"] = "system"
        case "assistant":
            reasoning = message.get("reasoning") or message.get("reasoning_content") or message.get("thinking")
            if isinstance(reasoning, str) and reasoning:
                plain["thinking"] = reasoning
            if calls := message.get("tool_calls"):
                plain["tool_calls"] = [_call(call) for call in calls]
        case "tool":
            plain["tool_call_id"] = message.get("tool_call_id")
        case "user":
            pass
        case _:
            raise _unrenderable(f"unknown role {role!r}")
    return plain


def _call(call: Any) -> Message:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise _unrenderable("a tool call must have a function with a name")
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        raise _unrenderable("the arguments of a tool call must be a string of JSON")
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {"name": function["name"], "arguments": "{}" if arguments is None else arguments},
    }


def _behind_results(turns: list[Message]) -> Iterator[Message]:
    """Moves system messages between calls and their results behind the results, and drops empty ones."""
    waiting: list[Message] = []
    for turn in turns:
        if turn["role"] == "system":
            waiting += [turn] if turn["content"] else []
            continue
        if turn["role"] != "tool":
            yield from waiting
            waiting = []
        yield turn
    yield from waiting


def _one_call_each(turns: list[Message]) -> Iterator[Message]:
    position = 0
    while position < len(turns):
        turn = turns[position]
        position += 1
        calls = turn.get("tool_calls", ())
        if len(calls) < 2:
            yield turn
            continue
        end = position
        while end < len(turns) and turns[end]["role"] == "tool":
            end += 1
        of_calls, others = _results_of(calls, turns[position:end])
        position = end
        for number, (call, results) in enumerate(zip(calls, of_calls, strict=True)):
            yield {**(turn if number == 0 else {"role": "assistant", "content": ""}), "tool_calls": [call]}
            yield from results
        yield from others


def _results_of(calls: list[Message], results: list[Message]) -> tuple[list[list[Message]], list[Message]]:
    """Each call's results, and those of no call. If calls share an id, as with some servers, each gets the next result
    with that id, and the last call all that are left."""
    found: list[list[Message]] = [[] for _ in calls]
    others: list[Message] = []
    by_name: dict[Any, list[list[Message]]] = {}
    for call, own in zip(reversed(calls), reversed(found), strict=True):
        by_name.setdefault(call["id"], []).append(own)
    for result in results:
        left = by_name.get(result["tool_call_id"], [others])
        (left.pop() if len(left) > 1 else left[0]).append(result)
    return found, others


def _name_tools(turns: list[Message]) -> None:
    names: dict[Any, str] = {}
    latest: str | None = None
    for turn in turns:
        for call in turn.get("tool_calls", ()):
            latest = names[call["id"]] = call["function"]["name"]
        if turn["role"] == "tool":
            name = names.get(turn["tool_call_id"], latest)
            if name is None:
                raise _unrenderable("a tool's message must follow an assistant's message with a tool call")
            turn["name"] = name


def _drop_finished_reasoning(turns: list[Message], *, keep_last: bool) -> None:
    answered = False
    for turn in reversed(turns):
        if turn["role"] != "assistant":
            continue
        is_answer = "tool_calls" not in turn
        if answered or (is_answer and not (keep_last and turn is turns[-1])):
            turn.pop("thinking", None)
        answered = answered or is_answer


def _unrenderable(message: str) -> RequestError:
    return RequestError(message, param="messages")
