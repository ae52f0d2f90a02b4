"""What all answers share: their description, their first fields, and the body of an error."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Finish = Literal["stop", "length", "tool_calls"]


class AnswerModel(BaseModel):
    """A field's docstring is its description in the document."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class IdentifiedAnswer(AnswerModel):
    """The first fields of an answer, and of each of its chunks."""

    id: str = Field(examples=["chatcmpl-5e0b6a1c", "cmpl-5e0b6a1c"])
    """The answer's name, the same in all its chunks."""
    object: str
    """The kind of this object."""
    created: int = Field(examples=[1764000000])
    """When the request came, in Unix seconds."""
    model: str = Field(examples=["embedded"])
    """The model's name in the request."""
    system_fingerprint: str = Field(examples=["carousel-0.1.0-3f9a2c71"])
    """Identifies the version of the engine and the weights."""


class ErrorDetails(AnswerModel):
    """What went wrong."""

    message: str = Field(examples=["temperature must be in [0.0, 2.0], got 9.0"])
    """One line for people."""
    type: str = Field(examples=["invalid_request_error"])
    """The class of the error."""
    param: str | None = Field(examples=["temperature"])
    """The request's field at fault, if there is one."""
    code: str | None = Field(examples=["context_length_exceeded", None])
    """The error in one word, where its class is too broad."""


class ErrorBody(AnswerModel):
    """The body of every error, and the data of an event that ends a stream early."""

    error: ErrorDetails
    """The error."""
