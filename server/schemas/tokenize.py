"""`/tokenize` and `/detokenize`."""

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.answer import AnswerModel
from server.schemas.chat import ReasoningEffort, ToldDate
from server.schemas.messages import Messages
from server.schemas.request import Many, RequestModel, only
from server.schemas.tools import MAX_TOOLS, Tool

MAX_TOKEN_TEXTS = 2**18
"""The most tokens that are turned into text at once: twice the longest context of the published models."""
OF_MESSAGES = frozenset({"tools", "reasoning_effort", "current_date", "add_generation_prompt"})


class TokenizeRequest(RequestModel):
    """A text, or a conversation: it is rendered as a chat with these fields would be."""

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the served model."""
    prompt: str | None = Field(default=None, examples=["Once upon a time"])
    """The text; special tokens in it are plain text."""
    messages: Messages | None = Field(default=None, examples=[None])
    """The conversation."""
    tools: Many[Tool] = Field(default_factory=list, max_length=MAX_TOOLS)
    """The functions that the model may call."""
    reasoning_effort: ReasoningEffort = Field(default="medium", examples=["low"])
    """The reasoning effort, which the prompt states."""
    current_date: ToldDate = None
    return_token_strs: bool = Field(default=False, examples=[False])
    """Also returns the text of each token."""
    add_generation_prompt: Annotated[Any, only(True)] = Field(default=None, examples=[True])
    """Not supported: refused unless true. The prompt always includes the start of the answer."""
    add_special_tokens: bool | None = Field(default=None, examples=[True])
    """Changes nothing here: these tokenizers add no special tokens to a text."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("prompt", "give either prompt or messages")
        given = self.model_fields_set - (set() if self.tools else {"tools"})
        if self.messages is None and (wrong := sorted(given & OF_MESSAGES)):
            raise PydanticCustomError(wrong[0], "{field} is only allowed with messages", {"field": wrong[0]})
        return self


class Tokens(AnswerModel):
    """The token ids of a text."""

    tokens: list[int] = Field(examples=[[12430, 5304, 261, 1058]])
    """The ids, in order."""
    count: int = Field(examples=[4])
    """The number of tokens."""
    max_model_len: int | None = Field(examples=[131072, None])
    """The longest context in tokens; null until the engine is ready."""
    token_strs: list[str] | None = Field(default=None, examples=[None])
    """The tokens' texts, if requested."""


class DetokenizeRequest(RequestModel):
    """Token ids to turn into text."""

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the served model."""
    tokens: Many[int] = Field(max_length=MAX_TOKEN_TEXTS, examples=[[12430, 5304, 261, 1058]])
    """The ids, in order."""


class DetokenizedText(AnswerModel):
    """The text of token ids."""

    prompt: str = Field(examples=["Once upon a time"])
    """The text, with replacement characters for invalid UTF-8."""
