import json
from pathlib import Path

import pytest

from engine.errors import CheckpointError, RequestError
from engine.prompt.chat import ChatRenderer, Conversation, instructions_length
from engine.prompt.harmony import HarmonyRenderer
from engine.prompt.template import ChatTemplate
from engine.prompt.tokenizer import Tokenizer

EMBEDDED = Path(__file__).parents[3] / "engine" / "embedded"

HI = Conversation(({"role": "user", "content": "hi"},))


def load(checkpoint, tokenizer, config=None, template=None):
    if config is not None:
        (checkpoint / "tokenizer_config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if template is not None:
        (checkpoint / "chat_template.jinja").write_text(template, encoding="utf-8")
    return ChatRenderer.load(checkpoint, tokenizer)


def test_the_templates_file(checkpoint, tokenizer):
    renderer = load(checkpoint, tokenizer, {"chat_template": "old", "bos_token": "<|end|>"}, "new {{ bos_token }}é")
    assert renderer.render(HI) == tokenizer.encode_marked("new <|end|>é")


@pytest.mark.parametrize(
    "chat_template", ["it", [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "it"}]]
)
def test_the_template_in_the_configuration(checkpoint, tokenizer, chat_template):
    assert load(checkpoint, tokenizer, {"chat_template": chat_template}).render(HI) == tokenizer.encode("it")


def test_tokens_may_be_objects(checkpoint, tokenizer):
    config = {"bos_token": {"content": "<|startoftext|>"}, "eos_token": None}
    renderer = load(checkpoint, tokenizer, config, "{{ bos_token }}{{ eos_token is defined }}")
    assert renderer.render(HI) == tokenizer.encode_marked("<|startoftext|>False")


@pytest.mark.parametrize("config", [None, {}, {"chat_template": None}, {"chat_template": []}, {"chat_template": ["x"]}])
def test_harmony_where_there_is_no_template(checkpoint, tokenizer, config):
    renderer = load(checkpoint, tokenizer, config)
    assert renderer.render(HI) == HarmonyRenderer(tokenizer).render(HI)


@pytest.mark.parametrize("config", ["{", "[]", "\udcff"])
def test_an_unreadable_configuration(checkpoint, tokenizer, config):
    (checkpoint / "tokenizer_config.json").write_bytes(config.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        ChatRenderer.load(checkpoint, tokenizer)


def test_an_unreadable_template(checkpoint, tokenizer):
    (checkpoint / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match=r"chat_template\.jinja"):
        ChatRenderer.load(checkpoint, tokenizer)


@pytest.mark.parametrize("template", [None, "{{ messages[0].content }}", "{{ messages | tojson }}"])
def test_a_lone_surrogate_names_the_messages(checkpoint, tokenizer, template):
    renderer = load(checkpoint, tokenizer, template=template)
    with pytest.raises(RequestError) as caught:
        renderer.render(Conversation(({"role": "user", "content": "\ud800"},)))
    assert caught.value.param == "messages"


@pytest.mark.parametrize("template", [None, "{{ tools | tojson }}"])
def test_deep_nesting_names_the_tools(checkpoint, tokenizer, template):
    schema = {"type": "array"}
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    conversation = Conversation(HI.messages, ({"function": {"name": "f", "parameters": schema}},))
    renderer = load(checkpoint, tokenizer, template=template)
    with pytest.raises(RequestError) as caught:
        renderer.render(conversation)
    assert caught.value.param == "tools"


def call(call_id, name, arguments):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.\nNow.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "City"},
                "days": {"type": "integer", "default": 3},
                "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            },
            "required": ["city"],
        },
    },
}
TOOL_LOOP = (
    {"role": "user", "content": "weather?"},
    {
        "role": "assistant",
        "content": None,
        "reasoning": "need tool",
        "tool_calls": [
            call("1", "get_weather", '{"city": "Rome"}'),
            call("2", "get_weather", '{"city": "Oslo"}'),
        ],
    },
    {"role": "tool", "tool_call_id": "2", "content": "cold"},
    {"role": "tool", "tool_call_id": "1", "content": '{"t": 20}'},
)


@pytest.mark.parametrize(
    "conversation",
    [
        HI,
        Conversation(({"role": "system", "content": "Be brief."}, *HI.messages), reasoning_effort="high"),
        Conversation((*HI.messages, {"role": "assistant", "content": "yo", "reasoning": "hm"}, *HI.messages)),
        Conversation(TOOL_LOOP, (TOOL,)),
        Conversation((*TOOL_LOOP, {"role": "assistant", "content": "20", "reasoning": "so"}, *HI.messages), (TOOL,)),
        Conversation(({"role": "developer", "content": "<|end|>"}, *TOOL_LOOP), (TOOL,), "minimal", "2020-02-29"),
        Conversation((*HI.messages, {"role": "system", "content": "Hurry."}, *HI.messages)),
    ],
)
def test_the_embedded_template_and_our_renderer_agree(conversation):
    tokenizer = Tokenizer.load(EMBEDDED)
    by_template = ChatRenderer.load(EMBEDDED, tokenizer)
    assert isinstance(by_template.format, ChatTemplate)
    by_renderer = HarmonyRenderer(tokenizer, "You are Carousel, a small language model.")
    assert by_template.render(conversation) == by_renderer.render(conversation)


@pytest.mark.parametrize(
    ("prompt", "instructions"),
    [
        (
            "<|start|>system<|message|>It.<|end|><|start|>user<|message|>hi<|end|>",
            "<|start|>system<|message|>It.<|end|>",
        ),
        (
            "<|start|>system<|message|>It.<|end|><|start|>developer<|message|>system<|end|><|start|>assistant",
            "<|start|>system<|message|>It.<|end|><|start|>developer<|message|>system<|end|>",
        ),
        ("<|start|>user<|message|>hi<|end|><|start|>system<|message|>It.<|end|><|start|>assistant", ""),
        ("<|start|>system<|message|>It.<|end|>", ""),
        ("system<|start|>user", ""),
        ("", ""),
    ],
)
def test_where_instructions_end(tokenizer, prompt, instructions):
    """Before the first message that is not one of them."""
    length = instructions_length(tokenizer.encode_marked(prompt), tokenizer)
    assert length == len(tokenizer.encode_marked(instructions))
