"""Token counts, as every answer reports them."""

from pydantic import Field

from server.schemas.answer import AnswerModel


class PromptTokensDetails(AnswerModel):
    """What the prompt's tokens were."""

    cached_tokens: int = Field(default=0, examples=[0])
    """Tokens of the prompt that had been computed before."""


class CompletionTokensDetails(AnswerModel):
    """What the answer's tokens were."""

    reasoning_tokens: int = Field(default=0, examples=[12])
    """Tokens of the reasoning."""


class Usage(AnswerModel):
    """A prompt is counted once, however many choices were drawn from it; stop tokens count."""

    prompt_tokens: int = Field(examples=[68])
    """Tokens of the prompts."""
    completion_tokens: int = Field(examples=[25])
    """Tokens of all choices, reasoning and markup included."""
    total_tokens: int = Field(examples=[93])
    """The sum of both."""
    prompt_tokens_details: PromptTokensDetails
    """More on the prompts' tokens."""
    completion_tokens_details: CompletionTokensDetails
    """More on the choices' tokens."""
