"""Joins the chunks of a stream to whole choices; keeps only their contents."""

from dataclasses import dataclass, field

from server.schemas.chat_answer import (
    CalledFunction,
    ChatChoice,
    ChatChunkChoice,
    ChatLogprobs,
    ChatMessage,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)
from server.schemas.completions import CompletionChoice, CompletionLogprobs


@dataclass(slots=True)
class JoinedChat:
    """A choice of a chat. The first chunk has the role, the last one the end."""

    contents: list[str] = field(default_factory=list)
    reasonings: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    scored: list[TokenLogprob] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    last: ChatChunkChoice | None = None

    def add(self, part: ChatChunkChoice) -> None:
        delta, self.last = part.delta, part
        if delta.content is not None and delta.role is None:
            self.contents.append(delta.content)
        if delta.reasoning is not None:
            self.reasonings.append(delta.reasoning)
        for call in delta.tool_calls or ():
            self._add_call(call)
        if part.logprobs is not None:
            self.scored += part.logprobs.content
        self.token_ids += part.token_ids or ()

    def _add_call(self, delta: ToolCallDelta) -> None:
        if delta.id is not None:
            function = CalledFunction(name=delta.function.name or "", arguments="")
            self.calls.append(ToolCall(id=delta.id, type="function", function=function))
        self.calls[delta.index].function.arguments += delta.function.arguments

    def choice(self, *, reasoning: bool, logprobs: bool, token_ids: bool) -> ChatChoice:
        """The whole choice, with or without its `reasoning`, `logprobs` and `token_ids`."""
        assert self.last is not None
        content = "".join(self.contents) if self.contents else None
        message = ChatMessage(role="assistant", content=content, refusal=None)
        if self.calls:
            message.tool_calls = self.calls
        if reasoning:
            message.reasoning = message.reasoning_content = "".join(self.reasonings) if self.reasonings else None
        choice = ChatChoice(
            index=self.last.index,
            message=message,
            logprobs=ChatLogprobs(content=self.scored, refusal=None) if logprobs else None,
            finish_reason=self.last.finish_reason or "stop",
            stop_reason=self.last.stop_reason,
        )
        if token_ids:
            choice.token_ids = self.token_ids
        return choice


@dataclass(slots=True)
class JoinedText:
    """A choice of a completion. The last chunk has the end."""

    texts: list[str] = field(default_factory=list)
    logprobs: CompletionLogprobs = field(
        default_factory=lambda: CompletionLogprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])
    )
    prompt_token_ids: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    last: CompletionChoice | None = None

    def add(self, part: CompletionChoice) -> None:
        self.last = part
        self.texts.append(part.text)
        if part.logprobs is not None:
            self.logprobs.tokens += part.logprobs.tokens
            self.logprobs.token_logprobs += part.logprobs.token_logprobs
            self.logprobs.top_logprobs += part.logprobs.top_logprobs
            self.logprobs.text_offset += part.logprobs.text_offset
        self.prompt_token_ids += part.prompt_token_ids or ()
        self.token_ids += part.token_ids or ()

    def choice(self, index: int, *, logprobs: bool, token_ids: bool) -> CompletionChoice:
        """The whole choice, with the number `index`, and with or without its `logprobs` and `token_ids`."""
        assert self.last is not None
        choice = CompletionChoice(
            index=index,
            text="".join(self.texts),
            logprobs=self.logprobs if logprobs else None,
            finish_reason=self.last.finish_reason,
            stop_reason=self.last.stop_reason,
        )
        if token_ids:
            choice.prompt_token_ids, choice.token_ids = self.prompt_token_ids, self.token_ids
        return choice
