"""A conversation in the form of `/v1/messages`: messages of blocks. An answer's blocks can be sent back unchanged."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.messages import MAX_MESSAGES
from server.schemas.request import CacheControl, Forgotten, Many, RequestModel, kind_of, known_kinds, only, tag

KINDS = ("text", "thinking", "redacted_thinking", "tool_use", "tool_result")


def as_blocks(content: Any) -> Any:
    """Turns a string into one block of text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class TextBlock(RequestModel):
    """A text."""

    type: Literal["text"] = Field(examples=["text"])
    """The kind of block."""
    text: str = Field(examples=["Who are you?"])
    """The text."""
    cache_control: CacheControl = None
    citations: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""


class ThinkingBlock(RequestModel):
    """Reasoning of an earlier answer. The model sees it until a final answer follows."""

    type: Literal["thinking"] = Field(examples=["thinking"])
    """The kind of block."""
    thinking: str = Field(examples=["They ask who I am."])
    """The reasoning."""
    signature: str = Field(default="", examples=["carousel:"])
    """The signature that the answer had; read if `thinking` is empty."""
    cache_control: CacheControl = None


class RedactedThinkingBlock(RequestModel):
    """Reasoning that only another server can read: left out."""

    type: Literal["redacted_thinking"] = Field(examples=["redacted_thinking"])
    """The kind of block."""
    data: Forgotten = Field(default=None, examples=["EmwKAhgB"])
    """Changes nothing here."""


class ToolUseBlock(RequestModel):
    """A call that an earlier answer made."""

    type: Literal["tool_use"] = Field(examples=["tool_use"])
    """The kind of block."""
    id: str = Field(examples=["toolu_1"])
    """The id that the result refers to."""
    name: str = Field(examples=["get_weather"])
    """The tool's name."""
    input: dict[str, Any] = Field(examples=[{"city": "Paris"}])
    """The arguments."""
    cache_control: CacheControl = None
    caller: Forgotten = Field(default=None, examples=[{"type": "direct"}])
    """The caller; changes nothing here."""


TextBlocks = Many[Annotated[TextBlock, known_kinds("text")]]
Texts = Annotated[TextBlocks, BeforeValidator(as_blocks, json_schema_input_type=str | TextBlocks)]
"""A text, or blocks of text."""
UNSEEN = {"image": "[an image, which cannot be seen here]", "document": "[a document, which cannot be read here]"}


def without_pictures(content: Any) -> Any:
    """The content of a call's result, with notes in place of images and documents: agents send these without being
    asked, and they stay in the conversation."""
    if not isinstance(content, list):
        return as_blocks(content)
    kinds = [block.get("type") if isinstance(block, dict) else None for block in content]
    return [
        {"type": "text", "text": UNSEEN[kind]} if isinstance(kind, str) and kind in UNSEEN else block
        for kind, block in zip(kinds, content, strict=True)
    ]


ResultTexts = Annotated[TextBlocks, BeforeValidator(without_pictures, json_schema_input_type=str | list[Any])]


class ToolResultBlock(RequestModel):
    """The result of a call."""

    type: Literal["tool_result"] = Field(examples=["tool_result"])
    """The kind of block."""
    tool_use_id: str = Field(examples=["toolu_1"])
    """The id of the call."""
    content: ResultTexts = Field(default_factory=list, examples=["18 degrees"])
    """The result: a text, or blocks of text. For an image or document the model is told that it cannot see it."""
    is_error: bool = Field(default=False, examples=[False])
    """Tells the model that the call failed."""
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
"""The blocks that messages of each role may have."""


class AnthropicTurn(RequestModel):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"] = Field(examples=["user"])
    """The author of the message."""
    content: Annotated[Many[Block], BeforeValidator(as_blocks, json_schema_input_type=str | Many[Block])] = Field(
        examples=["Who are you?", [{"type": "text", "text": "Who are you?"}]]
    )
    """The content: a text, or blocks."""

    @model_validator(mode="after")
    def _has_its_blocks(self) -> "AnthropicTurn":
        for block in self.content:
            if not isinstance(block, BLOCKS_OF[self.role]):
                given = {"role": self.role, "kind": block.type}
                raise PydanticCustomError("content", "{kind} blocks are not allowed in {role} messages", given)
        return self


Turns = Annotated[Many[AnthropicTurn], Field(min_length=1, max_length=MAX_MESSAGES)]
