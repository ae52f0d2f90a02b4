"""A conversation and its settings: what is asked, kept and forgotten."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from clients.client import Carousel
from clients.results import Answer, Delta, Message, ToolCall, assistant_message
from clients.tool_loop import CUT_OFF, mistake

Show = Callable[[Generator[Delta, None, None]], Answer]
AskResult = Callable[[ToolCall], str]


class Conversation:
    """`options` are the request fields of every question, and may be changed between questions."""

    def __init__(self, client: Carousel, options: Mapping[str, Any], *, system: str | None = None) -> None:
        self.client = client
        self.options = dict(options)
        self.system = system
        self.messages: list[Message] = []
        self.question: str | None = None
        self._asked: int | None = None
        """The last question's index in `messages`; None if there is none."""
        self._retracted: list[Message] = []
        """The messages that were taken back, until another question is answered."""
        self.reasoning: str | None = None

    @property
    def all_messages(self) -> list[Message]:
        """The messages, after the system message if there is one."""
        system: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.messages]

    def ask(self, question: str, show: Show, ask_result: AskResult) -> None:
        """Shows the answer, and asks for the results of the tools that the model calls on the way.

        If the request fails (ClientError) or the answer is stopped before its first word, the question is forgotten and
        messages that were taken back for it are restored. An answer stopped later is kept as far as it went.
        """
        retracted, self._retracted = self._retracted, []
        self.question = question
        self._asked = start = len(self.messages)
        self.messages.append({"role": "user", "content": question})
        answered = False
        try:
            answered = self._answer(show, ask_result)
        finally:
            if not answered:
                self.messages[start:] = retracted
                self._asked = start if retracted else None

    def retract(self) -> str | None:
        """Takes the last question and its answer back, to ask it again. Returns it; None if nothing was asked."""
        if self._asked is not None:
            self._retracted = self.messages[self._asked :]
            del self.messages[self._asked :]
            self._asked = None
        return self.question

    def clear(self) -> None:
        """Forgets the messages; the settings stay."""
        self.messages.clear()
        self._retracted = []
        self.question = self.reasoning = self._asked = None

    def _answer(self, show: Show, ask_result: AskResult) -> bool:
        """Returns False if there is nothing to keep. A call that the token limit cut off gets an error for its result,
        and no further answer is asked for."""
        while True:
            answer = show(self.client.stream_chat(self.all_messages, **self.options))
            self.reasoning = answer.reasoning or self.reasoning
            if not answer.choices[0].finish_reason:
                if answer.text:
                    self.messages.append(assistant_message(answer.text, None, ()))
                return bool(answer.text)
            self.messages.append(answer.message)
            if not answer.tool_calls:
                return True
            cut_off = answer.tool_calls[-1] if answer.choices[0].finish_reason == "length" else None
            for call in answer.tool_calls:
                result = mistake(CUT_OFF) if call is cut_off else ask_result(call)
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            if cut_off is not None:
                return True
