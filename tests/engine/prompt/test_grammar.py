"""The Lark text of grammars; what it means is shown by what llguidance makes of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RequestError
from engine.grammar import REMEMBERED, GrammarCompiler
from engine.prompt.grammar import (
    NO_ARGUMENTS,
    choice_body,
    completion_grammar,
    json_body,
    lark_body,
    regex_body,
    turn_grammar,
)
from engine.prompt.patterns import MAX_LENGTH, without_unknown_patterns
from engine.prompt.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def compiler(tmp_path_factory, definition, tokenizer) -> GrammarCompiler:
    path = tmp_path_factory.mktemp("grammar") / "tokenizer.json"
    path.write_text(json.dumps(definition))
    return GrammarCompiler(path, tokenizer.vocab_size, [tokenizer.special_ids["<|return|>"]])


def read(compiler: GrammarCompiler, tokenizer: Tokenizer, grammar: str, ids: list[int]) -> tuple[int, bool]:
    """How many of the tokens the grammar takes, and whether its answer may end after those."""
    state = compiler.compile(grammar)
    for position, token_id in enumerate(ids):
        state.advance(token_id)
        if state.error is not None:
            return position, False
    if not state.complete:
        state.advance(tokenizer.special_ids["<|return|>"])
    return len(ids), state.error is None


@given(choices=st.lists(st.text(max_size=12), min_size=1, max_size=5), other=st.text(max_size=12))
def test_any_text_can_be_a_choice(compiler, tokenizer, choices, other):
    grammar = completion_grammar(choice_body(choices))
    for text in [*choices, other]:
        ids = tokenizer.encode(text)
        assert (read(compiler, tokenizer, grammar, ids) == (len(ids), True)) == (text in choices)


@given(text=st.text(max_size=20))
def test_any_text_can_be_a_pattern_of_itself(compiler, tokenizer, text):
    pattern = "".join(f"\\x{{{ord(char):x}}}" if not char.isalnum() and char not in "/\n" else char for char in text)
    ids = tokenizer.encode(text)
    assert read(compiler, tokenizer, completion_grammar(regex_body(pattern)), ids) == (len(ids), True)


@pytest.mark.parametrize(
    ("pattern", "body"),
    [
        ("a/b", r"/a\/b/"),
        (r"a\/b", r"/a\/b/"),
        ("[/]", r"/[\/]/"),
        ("a\nb\\\nc", r"/a\nb\nc/"),
        (r"\\/", r"/\\\//"),
        ("\\", "/\\/"),
    ],
)
def test_slashes_and_lines_in_patterns(pattern, body):
    assert regex_body(pattern) == body


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner),
        max_leaves=8,
    )
)
def test_any_value_can_be_a_constant(compiler, tokenizer, value):
    grammar = completion_grammar(json_body({"const": value}))
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    ids = tokenizer.encode(written.replace("\x7f", "\\u007f"))
    assert read(compiler, tokenizer, grammar, ids)[0] == len(ids)


def test_what_a_user_calls_options_is_not_heeded(compiler, tokenizer):
    schema = {"type": "array", "items": False, "x-guidance": {"whitespace_pattern": " *"}}
    ids = tokenizer.encode("[" + " " * 40)
    assert read(compiler, tokenizer, completion_grammar(json_body(schema)), ids)[0] < 25


def test_names_of_a_nested_grammar_are_its_own(compiler, tokenizer):
    nested = lark_body('start: thought TEXT call\nthought: "a"\nTEXT: /b+/\ncall: body\nbody: "c" // }')
    grammar = turn_grammar(answer=nested, functions={"f": json_body(NO_ARGUMENTS)})
    ids = tokenizer.encode_marked(
        "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>final<|message|>abbc"
    )
    assert read(compiler, tokenizer, grammar, ids) == (len(ids), True)


def test_markup_in_the_reasoning_is_only_its_end(compiler, tokenizer):
    grammar = turn_grammar(answer=None, functions={})
    for mark in tokenizer.special_ids:
        ids = tokenizer.encode_marked(f"<|channel|>analysis<|message|>x{mark}")
        assert (read(compiler, tokenizer, grammar, ids)[0] == len(ids)) == (mark == "<|end|>")
    ids = tokenizer.encode_marked("<|channel|>analysis<|message|>") + tokenizer.encode("Say <|call|> or <|start|>.")
    assert read(compiler, tokenizer, grammar, ids)[0] == len(ids)


def test_a_long_turn_costs_no_more_than_a_short_one(compiler, tokenizer):
    """Left-recursive repetition: the parser's limits are not reached."""
    grammar = turn_grammar(answer=None, functions={"f": json_body({"type": "object"})}, must_call=True)
    thought = "<|channel|>analysis<|message|>x y<|end|><|start|>assistant"
    call = '<|channel|>commentary to=functions.f<|message|>{"a":1}<|end|><|start|>assistant'
    ids = tokenizer.encode_marked((thought + call) * 100)
    assert read(compiler, tokenizer, grammar, ids)[0] == len(ids)


def test_compiled_grammars_are_remembered_and_not_shared(compiler, tokenizer):
    grammar = completion_grammar(choice_body(["aa", "ab"]))
    first, second = compiler.compile(grammar), compiler.compile(grammar)
    a, b = tokenizer.encode("a"), tokenizer.encode("b")
    for token_id in a * 2:
        first.advance(token_id)
    for token_id in a + b:
        second.advance(token_id)
    assert first.complete
    assert second.complete
    assert compiler._beginning.cache_info().hits > 0


def test_so_many_are_remembered_and_no_more(compiler):
    for number in range(REMEMBERED + 1):
        compiler.compile(completion_grammar(choice_body([str(number)])))
    assert compiler._beginning.cache_info().currsize == REMEMBERED


@pytest.mark.parametrize("body", ["%json {", "/(/", lark_body("start: nowhere"), json_body({"type": "nope"})])
def test_a_body_that_is_none_is_refused(compiler, body):
    with pytest.raises(RequestError):
        compiler.compile(completion_grammar(body))


EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
"""What Zod makes of an email address."""


@pytest.mark.parametrize("pattern", [EMAIL, r"^(a)\1$", r"\bword\b", "(?<=a)b"])
def test_a_pattern_that_is_not_known_is_overlooked_unless_strict(compiler, tokenizer, pattern):
    def accepts(schema, value):
        ids = tokenizer.encode(json.dumps(value))
        return read(compiler, tokenizer, completion_grammar(json_body(schema, strict=False)), ids) == (len(ids), True)

    text = {"type": "string", "pattern": pattern, "maxLength": 5}
    assert accepts(text, "12345")
    assert not accepts(text, "123456")
    for schema, value in (
        ({"type": "array", "items": text}, ["a"]),
        ({"anyOf": [text, {"type": "null"}]}, "a"),
        ({"$ref": "#/$defs/text", "$defs": {"text": text}}, "a"),
        ({"type": "object", "properties": {"pattern": text, "a": {"type": "object", "additionalProperties": text}}},
         {"pattern": "a", "a": {"b": "c"}}),
        ({"type": "object", "patternProperties": {pattern: text, "^x": {"type": "integer"}},
          "additionalProperties": False}, {"x": 1, "a": "b"}),
    ):  # fmt: skip
        assert accepts(schema, value)
        with pytest.raises(RequestError):
            compiler.compile(completion_grammar(json_body(schema)))
    assert without_unknown_patterns({"const": text, "enum": [text]}) == {"const": text, "enum": [text]}


def test_a_pattern_that_is_known_is_kept():
    known = {"type": "string", "pattern": "^[a-z]{2}$"}
    schema = {"type": "object", "properties": {"a": known}, "patternProperties": {"^b": known}}
    assert without_unknown_patterns(schema | {"additionalProperties": False}) == schema | {
        "additionalProperties": False
    }
    long = {"pattern": "a" * MAX_LENGTH + "(?!b)"}
    assert without_unknown_patterns(long) == long, "what may take long is not tried"
