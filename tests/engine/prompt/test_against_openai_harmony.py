"""Ours against OpenAI's own package, over the published models' vocabulary: the same tokens, the same messages."""

import os
from collections.abc import Iterator
from typing import Any

import openai_harmony
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_harmony import Author, DeveloperContent, Message, Role, SystemContent, ToolDescription

from engine.prompt.conversation import Conversation
from engine.prompt.harmony import HarmonyRenderer
from engine.prompt.harmony_stream import HarmonyStream
from engine.prompt.tokenizer import Tokenizer
from tests.engine.prompt.o200k import tiktoken_file, tokenizer_definition

DATE = "2025-06-28"


@pytest.fixture(scope="module")
def o200k() -> Tokenizer:
    return Tokenizer(tokenizer_definition())


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai_harmony.HarmonyEncoding]:
    directory = tmp_path_factory.mktemp("encodings")
    (directory / "o200k_base.tiktoken").write_bytes(tiktoken_file())
    before = os.environ.get("TIKTOKEN_ENCODINGS_BASE")
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = str(directory)
    yield openai_harmony.load_harmony_encoding(openai_harmony.HarmonyEncodingName.HARMONY_GPT_OSS)
    del os.environ["TIKTOKEN_ENCODINGS_BASE"]
    if before is not None:
        os.environ["TIKTOKEN_ENCODINGS_BASE"] = before


MARKS = st.sampled_from(["<|start|>", "<|channel|>final<|message|>", "<|call|>", "<|endoftext|>", "<|end|>"])
WORDS = st.sampled_from(
    ["don't ", "HTTPServer's", "12345.678", "\r\n\n", "   ", "naïve", "日本語", "👩‍👩‍👧", "e\u0301", "\t{\n"]
)
TEXT = st.lists(st.text(max_size=8) | WORDS | MARKS, max_size=5).map("".join)
SAID = TEXT.filter(bool)
"""A message that says something: openai-harmony renders an empty one too, where clients mean none."""


@given(text=TEXT)
@settings(max_examples=300)
def test_text_has_the_same_tokens(o200k: Tokenizer, theirs: openai_harmony.HarmonyEncoding, text: str) -> None:
    assert o200k.encode(text) == theirs.encode(text, disallowed_special=())
    assert o200k.encode_marked(text) == theirs.encode(text, allowed_special="all")


LEAF = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(["string", "number", "integer", "boolean"])}),
    st.fixed_dictionaries({"type": st.just("string"), "enum": st.lists(st.sampled_from(["c", "f", "k"]), min_size=1)}),
    st.fixed_dictionaries({"type": st.just("array"), "items": st.just({"type": "string"})}),
    st.just({"type": "string", "default": "x"}),
    st.just({"type": "number", "description": "How many.", "default": 3}),
    st.just({"type": ["string", "null"], "description": "Maybe."}),
    st.just({"oneOf": [{"type": "string"}, {"type": "number", "description": "A number."}]}),
)
FIELDS = st.sampled_from(["city", "unit", "days", "where"])
OBJECT = st.builds(
    lambda properties, required: {"type": "object", "properties": properties, "required": required},
    st.dictionaries(
        FIELDS, LEAF | st.builds(lambda p: {"type": "object", "properties": p}, st.dictionaries(FIELDS, LEAF))
    ),
    st.lists(FIELDS, unique=True),
)
FUNCTION = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["get_weather", "now", "look-up"]),
        "description": st.sampled_from(["", "What it does.", "Two\nlines."]),
    },
    optional={"parameters": OBJECT},
)
FUNCTIONS = st.lists(FUNCTION, max_size=3, unique_by=lambda function: function["name"])


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Instructions or none, also on the way, tools or none, answers and tool loops, with reasoning and without."""
    functions = draw(FUNCTIONS)
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(SAID)})
    rounds = draw(st.integers(1, 3))
    for number in range(rounds):
        messages.append({"role": "user", "content": draw(TEXT)})
        for step in range(draw(st.integers(0, 2)) if functions else 0):
            call = {"name": draw(st.sampled_from(functions))["name"], "arguments": draw(TEXT)}
            calls = [{"id": f"{number}-{step}", "type": "function", "function": call}]
            said = {"content": draw(st.none() | SAID), "reasoning": draw(st.none() | SAID)}
            messages.append({"role": "assistant", **said, "tool_calls": calls})
            messages.append({"role": "tool", "tool_call_id": f"{number}-{step}", "content": draw(TEXT)})
        if draw(st.booleans()):
            messages.append({"role": "developer", "content": draw(SAID)})
        if number < rounds - 1:
            messages.append({"role": "assistant", "content": draw(TEXT), "reasoning": draw(st.none() | SAID)})
    return Conversation(
        tuple(messages),
        tuple({"type": "function", "function": function} for function in functions),
        reasoning_effort=draw(st.sampled_from(["low", "medium", "high"])),
        current_date=DATE,
    )


def in_their_words(conversation: Conversation) -> openai_harmony.Conversation:
    """Without reasoning that is over. Their renderer drops it before the first answer, the models' template before
    the last one, as they were trained.
    """
    effort = openai_harmony.ReasoningEffort(conversation.reasoning_effort.capitalize())
    system = SystemContent.new().with_reasoning_effort(effort).with_conversation_start_date(DATE)
    messages = [Message.from_role_and_content(Role.SYSTEM, system)]
    turns = list(conversation.messages)
    developer = DeveloperContent.new()
    instructed = turns[0]["role"] in ("system", "developer")
    if instructed:
        developer = developer.with_instructions(turns.pop(0)["content"])
    if conversation.tools:
        functions = [tool["function"] for tool in conversation.tools]
        developer = developer.with_function_tools(
            [ToolDescription.new(f["name"], f["description"], parameters=f.get("parameters")) for f in functions]
        )
    if instructed or conversation.tools:
        messages.append(Message.from_role_and_content(Role.DEVELOPER, developer))
    answers = [at for at, turn in enumerate(turns) if turn["role"] == "assistant" and "tool_calls" not in turn]
    last_answer = max(answers, default=-1)
    name = ""
    for at, turn in enumerate(turns):
        if turn["role"] == "user":
            messages.append(Message.from_role_and_content(Role.USER, turn["content"]))
        elif turn["role"] == "developer":
            told = DeveloperContent.new().with_instructions(turn["content"])
            messages.append(Message.from_role_and_content(Role.DEVELOPER, told))
        elif turn["role"] == "tool":
            author = Author.new(Role.TOOL, f"functions.{name}")
            result = Message.from_author_and_content(author, turn["content"])
            messages.append(result.with_channel("commentary").with_recipient("assistant"))
        else:
            if turn["reasoning"] and at > last_answer:
                messages.append(_assistant(turn["reasoning"], "analysis"))
            calls = turn.get("tool_calls", ())
            if turn["content"] is not None:
                messages.append(_assistant(turn["content"], "commentary" if calls else "final"))
            for call in calls:
                name = call["function"]["name"]
                made = _assistant(call["function"]["arguments"], "commentary").with_recipient(f"functions.{name}")
                messages.append(made.with_content_type("<|constrain|>json"))
    return openai_harmony.Conversation.from_messages(messages)


def _assistant(text: str, channel: str) -> Message:
    return Message.from_role_and_content(Role.ASSISTANT, text).with_channel(channel)


@given(conversation=conversations())
def test_conversations_render_to_the_same_tokens(
    o200k: Tokenizer, theirs: openai_harmony.HarmonyEncoding, conversation: Conversation
) -> None:
    expected = theirs.render_conversation_for_completion(in_their_words(conversation), Role.ASSISTANT)
    ids = HarmonyRenderer(o200k).render(conversation)
    assert o200k.decode(ids) == o200k.decode(expected)
    assert ids == expected


@st.composite
def turns(draw: st.DrawFn) -> list[tuple[str, str | None, str, str]]:
    """An assistant's messages: channel, recipient, text, and the header by which they are announced."""
    messages = []
    for _ in range(draw(st.integers(1, 4))):
        channel = draw(st.sampled_from(["analysis", "commentary", "final"]))
        recipient = None
        header = f"<|channel|>{channel}"
        if channel != "final" and draw(st.booleans()):
            recipient = draw(st.sampled_from(["functions.get_weather", "functions.f-1", "python", "browser.search"]))
            kind = draw(st.sampled_from(["", " <|constrain|>json", " json", " code"]))
            header = draw(st.sampled_from([f" to={recipient}{header}{kind}", f"{header} to={recipient}{kind}"]))
        messages.append((channel, recipient, draw(TEXT if recipient else SAID), header))
    return messages


@given(messages=turns())
def test_messages_are_read_alike(
    o200k: Tokenizer, theirs: openai_harmony.HarmonyEncoding, messages: list[tuple[str, str | None, str, str]]
) -> None:
    mark = o200k.special_ids
    ids: list[int] = []
    for number, (_, recipient, text, header) in enumerate(messages):
        start = [mark["<|start|>"], *o200k.encode("assistant")] if number else []
        end = mark["<|call|>"] if recipient else mark["<|end|>"]
        ids += [*start, *o200k.encode_marked(header), mark["<|message|>"], *o200k.encode(text), end]
    expected = [
        (message.channel, message.recipient, "".join(content.text for content in message.content))
        for message in theirs.parse_messages_from_completion_tokens(ids, Role.ASSISTANT)
    ]
    stream = HarmonyStream(o200k)
    deltas = [delta for token_id in ids for delta in stream.feed(token_id)] + stream.flush()
    read: dict[int, tuple[str, str | None, str]] = {}
    for delta in deltas:
        _, _, text = read.get(delta.message, ("", None, ""))
        read[delta.message] = (delta.channel, delta.recipient, text + delta.text)
    assert list(read.values()) == expected == [message[:3] for message in messages]
    assert stream.recoveries == 0
