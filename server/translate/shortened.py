"""A conversation that is longer than the context, without its oldest messages."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from engine.prompt.conversation import Conversation, Message


def shortened(conversation: Conversation, render: Callable[[Conversation], list[int]], room: int) -> list[int]:
    """The prompt of the conversation without its oldest messages. As few go as can for at most `room` tokens; if there
    are always more, all go that may. It is rendered once for each halving of their number, and not whole. Raises what
    `render` does."""
    oldest = may_go(conversation.messages)

    def prompt(count: int) -> list[int]:
        kept = without(conversation.messages, frozenset(oldest[:count]))
        return render(replace(conversation, messages=tuple(kept)))

    fits: list[int] | None = None
    least, most = 0, len(oldest)
    while least < most:
        count = (least + most) // 2
        if len(tried := prompt(count)) <= room:
            most, fits = count, tried
        else:
            least = count + 1
    return prompt(most) if fits is None else fits


def may_go(messages: Sequence[Message]) -> list[int]:
    """The places of those before the user's last one that are no instructions.

    >>> may_go([{"role": role} for role in ("system", "user", "assistant", "user", "assistant", "tool")])
    [1, 2]
    """
    last = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=0)
    return [at for at, message in enumerate(messages[:last]) if message["role"] not in ("system", "developer")]


def without(messages: Sequence[Message], gone: Collection[int]) -> Iterator[Message]:
    """The messages but those at some places, and but the results of calls that were made there."""
    called = set()
    for at, message in enumerate(messages):
        if at in gone or (message["role"] == "tool" and message["tool_call_id"] not in called):
            continue
        called |= {call["id"] for call in message.get("tool_calls") or ()}
        yield message
