"""Renders a conversation in the harmony format, for a checkpoint without a template of its own."""

from engine.errors import CheckpointError
from engine.prompt.conversation import Conversation, Message
from engine.prompt.tokenizer import Tokenizer
from engine.prompt.typescript import render_functions

IDENTITY = "You are ChatGPT, a large language model trained by OpenAI."
KNOWLEDGE_CUTOFF = "2024-06"


MARKS = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>", "<|call|>")


class HarmonyRenderer:
    """The published models' prompt format, as OpenAI's `openai-harmony` package renders it.

    Raises CheckpointError if the vocabulary lacks the format's special tokens.
    """

    def __init__(self, tokenizer: Tokenizer, identity: str = IDENTITY) -> None:
        """`identity` is the first sentence of the system message."""
        if missing := [mark for mark in MARKS if mark not in tokenizer.special_ids]:
            raise CheckpointError(f"tokenizer.json: no special token {', '.join(missing)}, which a chat needs")
        self._tokenizer = tokenizer
        self._identity = identity

    def render(self, conversation: Conversation) -> list[int]:
        """The prompt's token ids. Raises RequestError if the conversation cannot be rendered."""
        turns = conversation.turns()
        instructions = turns.pop(0)["content"] if turns[0]["role"] == "system" else ""
        sections = [_told(instructions)] if instructions else []
        if conversation.tools:
            sections.append(render_functions(conversation.functions()))
        ids = self._message("system", self._system(conversation))
        if sections:
            ids += self._message("developer", "\n\n".join(sections))
        for turn in turns:
            ids += self._turn(turn)
        if conversation.add_generation_prompt:
            ids += [self._tokenizer.special_ids["<|start|>"], *self._tokenizer.encode("assistant")]
        return ids

    def _system(self, conversation: Conversation) -> str:
        channels = "# Valid channels: analysis, commentary, final. Channel must be included for every message."
        if conversation.tools:
            channels += "\nCalls to these tools must go to the commentary channel: 'functions'."
        about = [
            self._identity,
            f"Knowledge cutoff: {KNOWLEDGE_CUTOFF}",
            f"Current date: {conversation.day().isoformat()}",
        ]
        return "\n\n".join(["\n".join(about), f"Reasoning: {conversation.effort()}", channels])

    def _turn(self, turn: Message) -> list[int]:
        content: str = turn["content"]
        match turn["role"]:
            case "assistant":
                return self._assistant(turn)
            case "tool":
                header = f"functions.{turn['name']} to=assistant"
                return self._message(header, content, channel="commentary")
            case "system":
                return self._message("developer", _told(content))
            case role:
                return self._message(role, content)

    def _assistant(self, turn: Message) -> list[int]:
        ids: list[int] = []
        if "thinking" in turn:
            ids += self._message("assistant", turn["thinking"], channel="analysis")
        if "tool_calls" not in turn:
            return ids + self._message("assistant", turn["content"], channel="final")
        if turn["content"]:
            ids += self._message("assistant", turn["content"], channel="commentary")
        for call in turn["tool_calls"]:
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            header = f"assistant to=functions.{name}"
            ids += self._message(header, arguments, channel="commentary", content_type="json", end="<|call|>")
        return ids

    def _message(
        self, header: str, text: str, *, channel: str = "", content_type: str = "", end: str = "<|end|>"
    ) -> list[int]:
        mark, encode = self._tokenizer.special_ids, self._tokenizer.encode
        ids = [mark["<|start|>"], *encode(header)]
        if channel:
            ids += [mark["<|channel|>"], *encode(channel)]
        if content_type:
            ids += [*encode(" "), mark["<|constrain|>"], *encode(content_type)]
        return [*ids, mark["<|message|>"], *encode(text), mark[end]]


def _told(instructions: str) -> str:
    return f"# Instructions\n\n{instructions}"
