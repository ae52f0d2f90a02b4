"""`/tokenize` and `/detokenize`."""

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.answer import AnswerModel
from server.schemas.messages import Messages
from server.schemas.request import Many, RequestModel

MAX_TOKENS = 2**18
"""Twice the longest context of the published models."""


class TokenizeRequest(RequestModel):
    """A text, or a conversation as the chat endpoint would render it."""

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the model served."""
    prompt: str | None = Field(default=None, examples=["Once upon a time"])
    """The text; special tokens in it are text."""
    messages: Messages | None = Field(default=None, examples=[None])
    """The conversation."""

    @model_validator(mode="after")
    def _one_of_both(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("prompt", "give either prompt or messages")
        return self


class Tokens(AnswerModel):
    """The token ids of a text."""

    tokens: list[int] = Field(examples=[[12430, 5304, 261, 1058]])
    """The ids, in order."""
    count: int = Field(examples=[4])
    """How many there are."""
    max_model_len: int | None = Field(examples=[131072, None])
    """The longest context in tokens; null until the engine is ready."""


class DetokenizeRequest(RequestModel):
    """Token ids to be made text."""

    model: str | None = Field(default=None, examples=["embedded"])
    """A name of the model served."""
    tokens: Many[int] = Field(max_length=MAX_TOKENS, examples=[[12430, 5304, 261, 1058]])
    """The ids, in order."""


class DetokenizedText(AnswerModel):
    """The text of token ids."""

    prompt: str = Field(examples=["Once upon a time"])
    """The text; bytes that are no UTF-8 are replacement characters."""
