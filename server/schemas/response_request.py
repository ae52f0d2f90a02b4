"""The request of `/v1/responses`."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from engine.request import MAX_TOP_LOGPROBS
from server.schemas.chat import ReasoningEffort, ToldDate
from server.schemas.input_items import Input
from server.schemas.request import Forgotten, Many, RequestModel, only
from server.schemas.response_tools import ResponseToolChoice, ResponseTools
from server.schemas.sampling import MAX_COUNT, SamplingFields
from server.schemas.structured import JsonSchema, ResponseFormat
from server.schemas.tools import Name

MAX_METADATA = 16
"""As OpenAI has it: the answer is kept with them."""
LOGPROBS = "message.output_text.logprobs"
ENCRYPTED_REASONING = "reasoning.encrypted_content"
Included = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]


Summary = Literal["auto", "concise", "detailed"]
Truncation = Literal["auto", "disabled"]


class Reasoning(RequestModel):
    """How the model reasons."""

    effort: ReasoningEffort = Field(default="medium", examples=["low"])
    """How long it does before it answers."""
    summary: Summary | None = Field(default=None, examples=["auto"])
    """Sends the reasoning as its own summary, too: some clients show no other."""
    generate_summary: Summary | None = Field(default=None, examples=["auto"])
    """`summary` by its old name."""
    context: Annotated[Any, only("auto", "current_turn")] = Field(default=None, examples=["auto"])
    """Not supported: refused unless auto or current_turn. Reasoning is shown to the model within a turn."""
    mode: Annotated[Any, only("standard")] = Field(default=None, examples=["standard"])
    """Not supported: refused unless standard."""

    @property
    def summary_told(self) -> Summary | None:
        """`summary`, by whichever name."""
        return self.summary or self.generate_summary


class TextFormat(RequestModel):
    """What the final message must look like: any text, any JSON object, or what follows a schema."""

    type: Literal["text", "json_object", "json_schema"] = Field(examples=["json_schema"])
    """Which of them."""
    name: Name | None = Field(default=None, examples=["city"])
    """Of a schema: what the model is told it is called."""
    description: str | None = Field(default=None, examples=["A city and its country."])
    """Of a schema: what the model is told it is for."""
    body: dict[str, Any] | None = Field(
        default=None,
        alias="schema",
        examples=[{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}],
    )
    """The JSON schema."""
    strict: bool | None = Field(default=None, examples=[True])
    """Of a schema: refuses one that cannot be followed to the letter."""

    @model_validator(mode="after")
    def _has_its_schema(self) -> "TextFormat":
        of_schema = sorted(self.model_dump(by_alias=True, exclude_unset=True, exclude={"type"}))
        if self.type == "json_schema" and (self.name is None or self.body is None):
            raise PydanticCustomError("format", "type json_schema needs a name and a schema")
        if self.type != "json_schema" and of_schema:
            raise PydanticCustomError("format", "{field} goes with type json_schema", {"field": of_schema[0]})
        return self

    def response_format(self) -> ResponseFormat:
        """The same in the words of `/v1/chat/completions`."""
        if self.type != "json_schema":
            return ResponseFormat(type=self.type)
        schema = self.model_dump(by_alias=True, exclude_unset=True, exclude={"type"})
        return ResponseFormat(type=self.type, json_schema=JsonSchema.model_validate(schema))


class TextConfig(RequestModel):
    """What the final message must be like."""

    format: TextFormat = Field(default=TextFormat(type="text"), examples=[{"type": "json_object"}])
    """What it must look like."""
    verbosity: Annotated[Any, only("medium")] = Field(default=None, examples=["medium"])
    """Not supported: refused unless medium."""


class ResponseStreamOptions(RequestModel):
    """What a stream is like."""

    include_obfuscation: bool = Field(default=False, examples=[False])
    """Changes nothing here."""


class ResponseRequest(SamplingFields):
    """OpenAI's newer way to ask for an answer to a conversation."""

    input: Input = Field(default_factory=list, examples=["Who are you?", [{"role": "user", "content": "Who are you?"}]])
    """What the answer is to: a question, or a conversation's items. With `previous_response_id` it may be left out."""
    instructions: str | None = Field(default=None, examples=["Be brief."])
    """What the model is told before the conversation. Those of an earlier answer no longer count."""
    previous_response_id: str | None = Field(default=None, examples=["resp_1"])
    """An answer that the server keeps: its conversation goes on with `input`."""
    store: bool = Field(default=True, examples=[False])
    """Keeps the answer, in memory, until there is no more room for it or the server stops."""
    background: bool = Field(default=False, examples=[False])
    """Answers at once that the answer is under way; it is to be asked for by its id. Not with `stream`."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=MAX_COUNT, examples=[256])
    """The longest answer in tokens, reasoning included."""
    reasoning: Reasoning = Field(default=Reasoning(), examples=[{"effort": "low"}])
    """How the model reasons before it answers."""
    text: TextConfig = Field(default=TextConfig(), examples=[{"format": {"type": "json_object"}}])
    """What the final message must be: any text, if nothing is said."""
    tools: ResponseTools = Field(default_factory=list)
    """The functions that the model may call."""
    tool_choice: ResponseToolChoice = Field(default="auto", examples=["auto"])
    """Whether it must: none shows it no function, required makes it call one, or name the one, or those allowed."""
    parallel_tool_calls: bool = Field(default=True, examples=[True])
    """Whether one answer may make several calls."""
    include: Many[Included] = Field(default_factory=list, examples=[[ENCRYPTED_REASONING]])
    """What the answer is to have beside itself: log-probabilities, or the reasoning in a form to send back, too."""
    top_logprobs: int = Field(default=0, ge=0, le=MAX_TOP_LOGPROBS, examples=[0])
    """With log-probabilities included: of so many of the likeliest tokens in each place, too."""
    truncation: Truncation = Field(default="disabled", examples=["auto"])
    """auto: a conversation that is longer than the context loses its oldest messages, of those before the user's last
    one; instructions stay. disabled: it is refused."""
    stream_options: ResponseStreamOptions | None = Field(default=None, examples=[None])
    """What the stream is like."""
    current_date: ToldDate = None

    metadata: Annotated[dict[str, str], Field(max_length=MAX_METADATA)] | None = Field(
        default=None, examples=[{"purpose": "test"}]
    )
    """Comes back with the answer; changes nothing else."""
    max_tool_calls: int | None = Field(default=None, ge=1, examples=[1])
    """Changes nothing here: of tools that the server runs there are none."""
    client_metadata: Forgotten = Field(default=None, examples=[{"session": "1"}])
    """Changes nothing here."""
    conversation: Annotated[Any, only()] = Field(default=None, examples=[None])
    """Not supported: `previous_response_id` has its place."""
    prompt: Annotated[Any, only()] = Field(default=None, examples=[None])
    """Not supported."""
    context_management: Annotated[Any, only([])] = Field(default=None, examples=[[]])
    """Not supported: refused unless empty."""
    moderation: Annotated[Any, only()] = Field(default=None, examples=[None])
    """Not supported."""

    @field_validator("background")
    @classmethod
    def _can_be_asked_for(cls, value: bool, info: ValidationInfo) -> bool:
        if value and (info.data.get("stream") or not info.data.get("store", True)):
            raise PydanticCustomError("background", "not allowed with stream, nor without store")
        return value
