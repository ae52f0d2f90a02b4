"""What all answers share: how they are described, and the body of an error."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Finish = Literal["stop", "length", "tool_calls"]


class AnswerModel(BaseModel):
    """The text under a field is its description."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorDetails(AnswerModel):
    """What went wrong."""

    message: str = Field(examples=["temperature must be in [0.0, 2.0], got 9.0"])
    """One line for people."""
    type: str = Field(examples=["invalid_request_error"])
    """The class of the error."""
    param: str | None = Field(examples=["temperature"])
    """The field of the request at fault, if one is."""
    code: str | None = Field(examples=["context_length_exceeded", None])
    """The error in one word, where its class is not enough."""


class ErrorBody(AnswerModel):
    """The body of every error, and the data of an event that ends a stream early."""

    error: ErrorDetails
    """The error."""
