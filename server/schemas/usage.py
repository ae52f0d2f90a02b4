"""The token counts that every answer reports."""

from pydantic import Field

from server.schemas.answer import AnswerModel


class PromptTokensDetails(AnswerModel):
    """The prompts' tokens by kind."""

    cached_tokens: int = Field(default=0, examples=[0])
    """Prompt tokens that were read from the cache."""


class CompletionTokensDetails(AnswerModel):
    """The choices' tokens by kind."""

    reasoning_tokens: int = Field(default=0, examples=[12])
    """Tokens of the reasoning."""


class Usage(AnswerModel):
    """Token counts. A prompt counts once, however many choices it has; stop tokens count."""

    prompt_tokens: int = Field(examples=[68])
    """Tokens of the prompts."""
    completion_tokens: int = Field(examples=[25])
    """Tokens of all choices, reasoning and markup included."""
    total_tokens: int = Field(examples=[93])
    """The sum of both."""
    prompt_tokens_details: PromptTokensDetails
    """Details of the prompts' tokens."""
    completion_tokens_details: CompletionTokensDetails
    """Details of the choices' tokens."""
