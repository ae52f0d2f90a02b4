"""A conversation's messages, as requests carry them."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator
from pydantic_core import PydanticCustomError

from server.schemas.request import RequestModel, only

Role = Literal["system", "developer", "user", "assistant", "tool"]


def joined_text(content: Any) -> Any:
    """Content as one string: parts of type text (or refusal) are joined, any other part is refused."""
    if not isinstance(content, list):
        return content
    texts = []
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(kind) if kind in ("text", "refusal") else None
        if not isinstance(text, str):
            raise PydanticCustomError(
                "content_part",
                "part {at} is not supported: only parts of type text are",
                {"at": at},
            )
        texts.append(text)
    return "".join(texts)


Content = Annotated[str, BeforeValidator(joined_text)]


class FunctionCall(RequestModel):
    name: str
    arguments: str


class ToolCall(RequestModel):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(RequestModel):
    """One message of any role; `reasoning` and `reasoning_content` are the same thing by two names."""

    role: Role
    content: Content | None = None
    name: str | None = None
    reasoning: Content | None = None
    reasoning_content: Content | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    annotations: Annotated[Any, only([])] = None

    @model_validator(mode="after")
    def _says_something(self) -> "Message":
        if self.content is None and self.role != "assistant":
            raise PydanticCustomError("content", "a {role} message needs content", {"role": self.role})
        if self.role == "tool" and self.tool_call_id is None:
            raise PydanticCustomError("tool_call_id", "a tool message needs a tool_call_id")
        return self
