"""A conversation as `/v1/messages` has it: messages of blocks, of which an answer's may be sent back as they came."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.messages import MAX_MESSAGES
from server.schemas.request import CacheControl, Forgotten, Many, RequestModel, kind_of, known_kinds, only, tag

KINDS = ("text", "thinking", "redacted_thinking", "tool_use", "tool_result")


def as_blocks(content: Any) -> Any:
    """A text is one block of text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class TextBlock(RequestModel):
    """A text."""

    type: Literal["text"] = Field(examples=["text"])
    """The kind of block."""
    text: str = Field(examples=["Who are you?"])
    """What it says."""
    cache_control: CacheControl = None
    citations: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""


class ThinkingBlock(RequestModel):
    """An earlier answer's reasoning. It is shown to the model while no final answer has followed it."""

    type: Literal["thinking"] = Field(examples=["thinking"])
    """The kind of block."""
    thinking: str = Field(examples=["They ask who I am."])
    """The reasoning itself."""
    signature: str = Field(default="", examples=["carousel:"])
    """What the answer had here; read if `thinking` is empty."""
    cache_control: CacheControl = None


class RedactedThinkingBlock(RequestModel):
    """Reasoning that only another server could read: left out."""

    type: Literal["redacted_thinking"] = Field(examples=["redacted_thinking"])
    """The kind of block."""
    data: Forgotten = Field(default=None, examples=["EmwKAhgB"])
    """Changes nothing here."""


class ToolUseBlock(RequestModel):
    """A call that an earlier answer made."""

    type: Literal["tool_use"] = Field(examples=["tool_use"])
    """The kind of block."""
    id: str = Field(examples=["toolu_1"])
    """The name that its result refers to."""
    name: str = Field(examples=["get_weather"])
    """Which tool."""
    input: dict[str, Any] = Field(examples=[{"city": "Paris"}])
    """What it was called with."""
    cache_control: CacheControl = None
    caller: Forgotten = Field(default=None, examples=[{"type": "direct"}])
    """Changes nothing here: who called it."""


TextBlocks = Many[Annotated[TextBlock, known_kinds("text")]]
Texts = Annotated[TextBlocks, BeforeValidator(as_blocks, json_schema_input_type=str | TextBlocks)]
"""A text, or blocks of text."""
UNSEEN = {"image": "[an image, which cannot be seen here]", "document": "[a document, which cannot be read here]"}


def without_pictures(content: Any) -> Any:
    """A call's result as text: a program that looks at what it gets sends pictures unasked, and they stay in its
    conversation."""
    if not isinstance(content, list):
        return as_blocks(content)
    kinds = [block.get("type") if isinstance(block, dict) else None for block in content]
    return [
        {"type": "text", "text": UNSEEN[kind]} if isinstance(kind, str) and kind in UNSEEN else block
        for kind, block in zip(kinds, content, strict=True)
    ]


ResultTexts = Annotated[TextBlocks, BeforeValidator(without_pictures, json_schema_input_type=str | list[Any])]


class ToolResultBlock(RequestModel):
    """What a call gave."""

    type: Literal["tool_result"] = Field(examples=["tool_result"])
    """The kind of block."""
    tool_use_id: str = Field(examples=["toolu_1"])
    """The call that it is the result of."""
    content: ResultTexts = Field(default_factory=list, examples=["18 degrees"])
    """The result: a text, or blocks of text. Of a picture or document in it the model is told that it cannot see it."""
    is_error: bool = Field(default=False, examples=[False])
    """Tells the model that it is what went wrong."""
    cache_control: CacheControl = None


Block = Annotated[
    Annotated[TextBlock, Tag(tag("text"))]
    | Annotated[ThinkingBlock, Tag(tag("thinking"))]
    | Annotated[RedactedThinkingBlock, Tag(tag("redacted_thinking"))]
    | Annotated[ToolUseBlock, Tag(tag("tool_use"))]
    | Annotated[ToolResultBlock, Tag(tag("tool_result"))],
    Discriminator(kind_of(*KINDS), custom_error_type="block_type", custom_error_message="must be a block with a type"),
    known_kinds(*KINDS),
]
BLOCKS_OF = {
    "user": (TextBlock, ToolResultBlock),
    "system": (TextBlock,),
    "assistant": (TextBlock, ThinkingBlock, RedactedThinkingBlock, ToolUseBlock),
}
"""What the messages of each role consist of."""


class AnthropicTurn(RequestModel):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"] = Field(examples=["user"])
    """Who says it."""
    content: Annotated[Many[Block], BeforeValidator(as_blocks, json_schema_input_type=str | Many[Block])] = Field(
        examples=["Who are you?", [{"type": "text", "text": "Who are you?"}]]
    )
    """What is said: a text, or blocks."""

    @model_validator(mode="after")
    def _has_its_blocks(self) -> "AnthropicTurn":
        for block in self.content:
            if not isinstance(block, BLOCKS_OF[self.role]):
                given = {"role": self.role, "kind": block.type}
                raise PydanticCustomError("content", "{kind} blocks have no place in messages of role {role}", given)
        return self


Turns = Annotated[Many[AnthropicTurn], Field(min_length=1, max_length=MAX_MESSAGES)]
