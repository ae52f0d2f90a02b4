import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompt.harmony_header import Section, read_section
from engine.prompt.harmony_stream import MAX_HEADER_JUNK, Delta, HarmonyStream
from engine.prompt.tokenizer import Tokenizer

ENDS = ["<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"]


def parse(tokenizer, marked: str) -> tuple[list[tuple[str, str | None, str]], int]:
    """The messages of a turn as (channel, recipient, text), and the recoveries it took."""
    return collect(HarmonyStream(tokenizer), tokenizer.encode_marked(marked))


def collect(stream: HarmonyStream, ids: list[int]) -> tuple[list[tuple[str, str | None, str]], int]:
    deltas = [delta for token_id in ids for delta in stream.feed(token_id)] + stream.flush()
    messages: dict[int, list[Delta]] = {}
    for delta in deltas:
        messages.setdefault(delta.message, []).append(delta)
    assert list(messages) == sorted(messages)
    for parts in messages.values():
        assert len({(delta.channel, delta.recipient) for delta in parts}) == 1
    joined = [(p[0].channel, p[0].recipient, "".join(d.text for d in p)) for p in messages.values()]
    return joined, stream.recoveries


WELL_FORMED = {
    "an answer": ("<|channel|>final<|message|>Hello.<|return|>", [("final", None, "Hello.")]),
    "reasoning and an answer": (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
        [("analysis", None, "Hm."), ("final", None, "Yes.")],
    ),
    "a call, recipient after the channel": (
        '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>',
        [("commentary", "functions.f", '{"a": 1}')],
    ),
    "a call, recipient in the role part": (
        " to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
        [("commentary", "functions.f", "{}")],
    ),
    "a call with the type as text": (
        "<|channel|>commentary to=functions.f json<|message|>{}<|call|>",
        [("commentary", "functions.f", "{}")],
    ),
    "a call in the reasoning": (
        "<|channel|>analysis to=python code<|message|>1+1<|call|>",
        [("analysis", "python", "1+1")],
    ),
    "a call without a body": (
        "<|channel|>commentary to=functions.now<|message|><|call|>",
        [("commentary", "functions.now", "")],
    ),
    "a preamble and two calls": (
        "<|channel|>commentary<|message|>Two calls.<|end|>"
        "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>1<|call|>"
        "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>2<|call|>",
        [
            ("commentary", None, "Two calls."),
            ("commentary", "functions.f", "1"),
            ("commentary", "functions.f", "2"),
        ],
    ),
    "a body that is not JSON": (
        "<|channel|>commentary to=functions.f<|message|>{'a<|call|>",
        [("commentary", "functions.f", "{'a")],
    ),
    "a final answer in JSON": (
        "<|channel|>final <|constrain|>json<|message|>{}<|return|>",
        [("final", None, "{}")],
    ),
    "cut off in the body": ("<|channel|>final<|message|>Hel", [("final", None, "Hel")]),
    "cut off in the header": ("<|channel|>fin", []),
    "cut off in the recipient": ("<|channel|>commentary to=functions.get_w", []),
    "cut off before the role": ("<|channel|>final<|message|>a<|end|><|start|>assis", [("final", None, "a")]),
    "nothing": ("", []),
}


@pytest.mark.parametrize(("marked", "messages"), WELL_FORMED.values(), ids=WELL_FORMED.keys())
def test_well_formed(tokenizer, marked, messages):
    assert parse(tokenizer, marked) == (messages, 0)


LONG = "What a fine day it is, says the lazy dog, and jumps over the quick brown fox again."

MALFORMED = {
    "no markup": ("Hello.", [("final", None, "Hello.")]),
    "no markup, long": (f" {LONG}", [("final", None, f" {LONG}")]),
    "no markup, a word of a header": ("fin", [("final", None, "fin")]),
    "no markup, then an end": ("Hello.<|return|>", [("final", None, "Hello.")]),
    "no channel": ("<|message|>Hello.<|return|>", [("final", None, "Hello.")]),
    "an unknown channel": ("<|channel|>thoughts<|message|>Hello.<|end|>", [("final", None, "Hello.")]),
    "a call without a channel": (
        " to=functions.f<|message|>{}<|call|>",
        [("commentary", "functions.f", "{}")],
    ),
    "no functions.": (
        "<|channel|>commentary to=lookup<|message|>{}<|call|>",
        [("commentary", "functions.lookup", "{}")],
    ),
    "addressed to nobody": (
        "<|channel|>analysis to=assistant<|message|>Hm.<|end|>",
        [("analysis", None, "Hm.")],
    ),
    "the channel twice": (
        "<|channel|>commentary to=functions.f<|channel|>commentary json<|message|>{}<|call|>",
        [("commentary", "functions.f", "{}")],
    ),
    "junk in the role part": (
        " so here is<|channel|>final<|message|>Hi.<|return|>",
        [("final", None, "Hi.")],
    ),
    "junk after the channel": (
        "<|channel|>final answer now<|message|>Hi.<|return|>",
        [("final", None, "Hi.")],
    ),
    "junk after the type": (
        "<|channel|>commentary to=functions.f <|constrain|>json strictly<|message|>{}<|call|>",
        [("commentary", "functions.f", "{}")],
    ),
    "a recipient behind the type": (
        "<|channel|>commentary<|constrain|>json to=functions.f<|message|>{}<|call|>",
        [("commentary", "functions.f", "{}")],
    ),
    "a recipient behind the type, in one section": (
        "<|channel|>commentary json to=functions.f<|message|>{}<|call|>",
        [("commentary", "functions.f", "{}")],
    ),
    "a long recipient behind the type": (
        f"<|channel|>commentary json to=functions.{'f' * 64}<|message|>{{}}<|call|>",
        [("commentary", f"functions.{'f' * 64}", "{}")],
    ),
    "a recipient behind the type, where the call ends": (
        '<|channel|>commentary json to=functions.f{"a": 1}<|call|>',
        [("commentary", "functions.f", '{"a": 1}')],
    ),
    "a recipient behind noise": (
        "<|channel|>analysis<|message|>Hm.<|end|>!~~~!css to=functions.f json<|message|>{}<|call|>",
        [("analysis", None, "Hm."), ("commentary", "functions.f", "{}")],
    ),
    "a recipient behind noise, of no tool": (
        "<|channel|>final as told, to=user and so on<|message|>Hi.<|return|>",
        [("final", None, "Hi.")],
    ),
    "a channel in the role part": (
        "<|channel|>commentary<|message|>Hm.<|end|><|start|>assistantanalysis<|message|>Hm.<|end|>",
        [("commentary", None, "Hm."), ("analysis", None, "Hm.")],
    ),
    "no message token": ("<|channel|>final Hello.<|return|>", [("final", None, " Hello.")]),
    "no message token, and a word that begins as a type": (
        "<|channel|>final codenames.<|return|>",
        [("final", None, " codenames.")],
    ),
    "no message token, long": (f"<|channel|>analysis{LONG}<|end|>", [("analysis", None, LONG)]),
    "no message token in a call": (
        '<|channel|>commentary to=functions.f <|constrain|>json{"a": 1}<|call|>',
        [("commentary", "functions.f", '{"a": 1}')],
    ),
    "a call that ends in its header": (
        "<|channel|>commentary to=functions.f<|call|>",
        [("commentary", "functions.f", "")],
    ),
    "no end": (
        "<|channel|>analysis<|message|>Hm.<|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
        [("analysis", None, "Hm."), ("final", None, "Yes.")],
    ),
    "no end and no start": (
        "<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>Yes.<|return|>",
        [("analysis", None, "Hm."), ("final", None, "Yes.")],
    ),
    "no end of a call": (
        "<|channel|>commentary to=functions.f<|message|>{}<|channel|>final<|message|>Yes.<|return|>",
        [("commentary", "functions.f", "{}"), ("final", None, "Yes.")],
    ),
    "no start": (
        "<|channel|>analysis<|message|>Hm.<|end|>assistant<|channel|>final<|message|>Yes.<|return|>",
        [("analysis", None, "Hm."), ("final", None, "Yes.")],
    ),
    "no start and no role": (
        "<|channel|>analysis<|message|>Hm.<|end|><|channel|>final<|message|>Yes.<|return|>",
        [("analysis", None, "Hm."), ("final", None, "Yes.")],
    ),
    "text after the end of the turn": (
        "<|channel|>final<|message|>Yes.<|return|> And so on.<|return|>",
        [("final", None, "Yes."), ("final", None, " And so on.")],
    ),
    "two ends": ("<|channel|>final<|message|>Yes.<|end|><|return|>", [("final", None, "Yes.")]),
    "another role": (
        "<|channel|>final<|message|>Yes.<|end|><|start|>user<|message|>No.<|end|>",
        [("final", None, "Yes."), ("final", None, "No.")],
    ),
    "a tool's answer made up": (
        "<|end|><|start|>functions.f to=assistant<|channel|>commentary<|message|>4<|end|>",
        [("commentary", None, "4")],
    ),
    "a header token in the body": (
        "<|channel|>final<|message|>a<|message|>b<|constrain|>c",
        [("final", None, "abc")],
    ),
    "a foreign token": ("<|reserved_9|><|channel|>final<|message|>a<|reserved_9|>b", [("final", None, "ab")]),
    "a header begun twice": (
        "<|channel|>ana<|start|>assistant<|channel|>final<|message|>a",
        [("final", None, "a")],
    ),
}


@pytest.mark.parametrize(("marked", "messages"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(tokenizer, marked, messages):
    found, recoveries = parse(tokenizer, marked)
    assert found == messages
    assert recoveries > 0


def test_markup_written_as_text_stays_in_the_body_and_out_of_the_recipient(tokenizer):
    body = tokenizer.encode_marked("<|channel|>final<|message|>") + tokenizer.encode("Write <|end|>.")
    assert collect(HarmonyStream(tokenizer), body) == ([("final", None, "Write <|end|>.")], 0)
    start = tokenizer.encode_marked("<|channel|>commentary")
    header = start + tokenizer.encode(" to=f<|channel|>commentary") + tokenizer.encode_marked("<|message|>{}<|call|>")
    assert collect(HarmonyStream(tokenizer), header)[0] == [("commentary", "functions.f", "{}")]


def test_the_state_while_a_message_is_written(tokenizer):
    stream = HarmonyStream(tokenizer)
    states = []
    for token_id in tokenizer.encode_marked("<|channel|>commentary to=functions.f<|message|>{<|call|>"):
        stream.feed(token_id)
        states.append((stream.in_body, stream.channel, stream.recipient))
    assert set(states[:-3]) == {(False, None, None)}
    assert states[-3:] == [(True, "commentary", "functions.f")] * 2 + [(False, None, None)]


def test_a_call_is_announced_with_its_header(tokenizer):
    stream = HarmonyStream(tokenizer)
    *header, mark = tokenizer.encode_marked("<|channel|>commentary to=functions.f<|message|>")
    assert [delta for token_id in header for delta in stream.feed(token_id)] == []
    assert stream.feed(mark) == [Delta("commentary", "functions.f", "", 0)]


def test_an_answer_without_markup_is_shown_before_it_ends(tokenizer):
    stream = HarmonyStream(tokenizer)
    shown = ""
    for position, token_id in enumerate(ids := tokenizer.encode(LONG * 2)):
        shown += "".join(delta.text for delta in stream.feed(token_id))
        held = tokenizer.decode(ids[: position + 1]).removeprefix(shown)
        assert len(held) <= MAX_HEADER_JUNK
    assert shown == LONG * 2


def test_characters_split_over_tokens(tokenizer):
    stream = HarmonyStream(tokenizer)
    for token_id in tokenizer.encode_marked("<|channel|>final<|message|>"):
        stream.feed(token_id)
    texts = [delta.text for token_id in tokenizer.encode("日😀") for delta in stream.feed(token_id)]
    assert texts == ["日", "😀"]
    for token_id in tokenizer.encode("日")[:-1]:
        assert stream.feed(token_id) == []
    (end,) = tokenizer.encode_marked("<|end|>")
    assert stream.feed(end) == [Delta("final", None, "\ufffd", 0)]


@pytest.mark.parametrize(
    ("kind", "text", "section"),
    [
        ("channel", "commentary to=functions.add json", Section("", "commentary", "functions.add")),
        ("role", " to=add and more", Section(" and more", None, "functions.add", 1)),
        ("role", " to=functions:add", Section("", None, "functions.add", 1)),
        ("channel", "commentary to=functions:", Section(":", "commentary", None, 1)),
        ("role", "json is a format", Section("json is a format")),
        ("constrain", "json", Section("")),
    ],
)
def test_sections(kind, text, section):
    assert read_section(kind, text) == section


WORDS = [
    "assistant",
    "user",
    "analysis",
    "commentary",
    "final",
    " to=functions.f",
    " to=f",
    "json",
    " ",
    "a",
    "😀",
]


def header_pieces(tokenizer):
    """What headers are made of, in no order: words and marks, but for the one that begins a body."""
    marks = [[token_id] for mark, token_id in tokenizer.special_ids.items() if mark != "<|message|>"]
    return st.sampled_from(marks + [tokenizer.encode(word) for word in WORDS])


def any_token(tokenizer):
    return st.integers(-1, tokenizer.vocab_size)


@given(data=st.data())
def test_any_tokens_parse(tokenizer, data):
    token = any_token(tokenizer) | st.sampled_from(sorted(tokenizer.special_ids.values()))
    piece = token.map(lambda token_id: [token_id]) | header_pieces(tokenizer)
    ids = [token_id for piece in data.draw(st.lists(piece, max_size=40)) for token_id in piece]
    _, recoveries = collect(HarmonyStream(tokenizer), ids)
    assert recoveries >= 0


@given(data=st.data())
def test_no_body_is_lost(tokenizer, data):
    special = tokenizer.special_ids
    closing = [special[mark] for mark in (*ENDS, "<|start|>", "<|channel|>")]
    body_tokens = any_token(tokenizer).filter(lambda token_id: token_id not in closing)
    ids: list[int] = []
    bodies: list[str] = []
    for _ in range(data.draw(st.integers(0, 4))):
        for piece in data.draw(st.lists(header_pieces(tokenizer), max_size=4)):
            ids += piece
        body = data.draw(st.lists(body_tokens, max_size=10))
        bodies.append(tokenizer.decode(body, skip_special=True))
        ids += [special["<|message|>"], *body, data.draw(st.sampled_from(closing))]
    messages, _ = collect(HarmonyStream(tokenizer), ids)
    found = iter([text for _, _, text in messages])
    assert all(body in found for body in bodies if body)  # each a message of its own, in this order


@given(text=st.text(max_size=200))
def test_text_without_markup_is_the_answer(tokenizer, text):
    messages, _ = collect(HarmonyStream(tokenizer), tokenizer.encode("Well, " + text))
    assert messages == [("final", None, "Well, " + text)]


def test_a_vocabulary_without_harmony(definition):
    plain = Tokenizer(definition | {"added_tokens": [], "post_processor": None})
    messages, _ = collect(HarmonyStream(plain), plain.encode("Hello <|end|>"))
    assert messages == [("final", None, "Hello <|end|>")]
