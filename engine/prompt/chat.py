"""From a conversation to the tokens of a prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import CheckpointError, RequestError
from engine.json_object import read_json_object
from engine.prompt.conversation import Conversation
from engine.prompt.harmony import HarmonyRenderer
from engine.prompt.template import ChatTemplate
from engine.prompt.tokenizer import Tokenizer

__all__ = ["ChatRenderer", "Conversation", "instructions_length"]


@dataclass(frozen=True, slots=True)
class ChatRenderer:
    """Renders a conversation by the checkpoint's own template, or in the harmony format if it has none."""

    format: ChatTemplate | HarmonyRenderer

    @classmethod
    def load(cls, directory: Path, tokenizer: Tokenizer) -> "ChatRenderer":
        """Reads chat_template.jinja, or `chat_template` in tokenizer_config.json, if `directory` has one.

        Raises CheckpointError for files that cannot be read or a template that is invalid.
        """
        config_path = directory / "tokenizer_config.json"
        config = read_json_object(config_path).values if config_path.exists() else {}
        path = directory / "chat_template.jinja"
        try:
            source = path.read_text(encoding="utf-8") if path.exists() else _template(config)
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}: {error}") from error
        if source is None:
            return cls(HarmonyRenderer(tokenizer))
        variables = {name: text for name in ("bos_token", "eos_token") if (text := _token(config.get(name)))}
        return cls(ChatTemplate(source, tokenizer, variables))

    def render(self, conversation: Conversation) -> list[int]:
        """The prompt's token ids, in which no text of the conversation is a special token.

        Raises RequestError if it cannot be rendered (param="messages" unless another field is at fault).
        """
        try:
            return self.format.render(conversation)
        except RequestError as error:
            if error.param == "prompt":
                raise RequestError(str(error), param="messages") from error
            raise
        except RecursionError as error:
            param = "tools" if conversation.tools else "messages"
            raise RequestError("the messages or tools are nested too deeply", param=param) from error


def instructions_length(prompt: Sequence[int], tokenizer: Tokenizer) -> int:
    """The length in tokens of a harmony prompt's leading system and developer messages: all of
    `<|start|>system<|message|>Be brief.<|end|>` before `<|start|>user`. 0 for a prompt in another format.
    """
    start = tokenizer.special_ids.get("<|start|>")
    roles = [tokenizer.encode(role) for role in ("system", "developer")]
    at = 0
    try:
        while prompt[at] == start and any([*prompt[at + 1 : at + 1 + len(role)]] == role for role in roles):
            at = prompt.index(start, at + 1)
    except (IndexError, ValueError):  # The prompt has no other message.
        return 0
    return at


def _template(config: Mapping[str, Any]) -> str | None:
    """The template in a tokenizer_config.json: a string, or the one named `default` in a list."""
    template = config.get("chat_template")
    if isinstance(template, list):
        entries = (entry for entry in template if isinstance(entry, dict))
        template = next((entry.get("template") for entry in entries if entry.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _token(token: Any) -> str | None:
    """A token in a tokenizer_config.json: its text, or an object with its text."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None
