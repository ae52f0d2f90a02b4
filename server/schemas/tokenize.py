"""`/tokenize` and `/detokenize`."""

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.messages import Message
from server.schemas.request import RequestModel


class TokenizeRequest(RequestModel):
    """A text, or a conversation as the chat endpoint would render it."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("prompt", "give either prompt or messages")
        return self


class Tokens(BaseModel):
    tokens: list[int]
    count: int
    max_model_len: int | None


class DetokenizeRequest(RequestModel):
    model: str | None = None
    tokens: list[int]


class DetokenizedText(BaseModel):
    prompt: str
