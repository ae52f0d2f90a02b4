"""Grammars: every answer follows its own, whatever the sampling; its neighbours do not notice."""

import json
import re
from pathlib import Path

import pytest
import torch

from engine.checkpoint.config_json import read_model_config
from engine.checkpoint.hub import resolve_model
from engine.engine import Engine
from engine.errors import ConfigError, RequestError
from engine.grammar import GrammarCompiler
from engine.prompt.tokenizer import Tokenizer
from engine.request import FinishReason, Request, SamplingParams
from engine.sampling.adjust import allowed_tokens
from tests.engines import assert_nothing_held, build_engine, run, shrink, tokens

EMBEDDED = resolve_model("embedded")
CONFIG = read_model_config(EMBEDDED)
TOKENIZER = Tokenizer.load(EMBEDDED)
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "ages": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 999}, "maxItems": 3},
    },
    "required": ["name", "ages"],
    "additionalProperties": False,
    "x-guidance": {"whitespace_flexible": False},
}
OBJECT = f"start: %json {json.dumps(SCHEMA)}"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build_engine(EMBEDDED, max_num_seqs=8)


def compiler() -> GrammarCompiler:
    return GrammarCompiler(EMBEDDED / "tokenizer.json", CONFIG.vocab_size, CONFIG.eos_token_ids)


def request(name: str, grammar: str | None, **params: object) -> Request:
    sampling = SamplingParams(grammar=grammar, **{"max_tokens": 100, "seed": 1, **params})  # type: ignore[arg-type]
    return Request(id=name, prompt_token_ids=tuple(TOKENIZER.encode("Answer: ")), sampling=sampling)


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0.0},
        {"temperature": 2.0},
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 1.5, "top_p": 0.1, "min_p": 0.5},
        {"temperature": 1.0, "frequency_penalty": 2.0, "presence_penalty": 2.0, "repetition_penalty": 5.0},
        {"temperature": 1.0, "logit_bias": {TOKENIZER.encode("{")[0]: -100.0}},
        {"temperature": 1.0, "min_tokens": 80},
        {"temperature": 1.0, "ignore_eos": True},
    ],
)
def test_an_object_is_valid_under_every_sampling(engine: Engine, params: dict[str, object]) -> None:
    for seed in range(2):
        events = run(engine, [request("a", OBJECT, **(params | {"seed": seed}))])["a"]
        assert events[-1].finish_reason is FinishReason.STOP
        answer = json.loads(TOKENIZER.decode(tokens(events), skip_special=True))
        assert set(answer) == {"name", "ages"}
        assert all(isinstance(age, int) for age in answer["ages"])


def test_a_pattern_and_a_choice_end_by_themselves(engine: Engine) -> None:
    events = run(
        engine,
        [
            request("pattern", r"start: /[A-Z]{3}-[0-9]{4}/"),
            request("choice", 'start: "red" | "green" | "blue"'),
        ],
    )
    assert re.fullmatch(r"[A-Z]{3}-[0-9]{4}", TOKENIZER.decode(tokens(events["pattern"])))
    assert TOKENIZER.decode(tokens(events["choice"])) in {"red", "green", "blue"}
    assert all(own[-1].finish_reason is FinishReason.STOP for own in events.values())


def test_neighbours_are_undisturbed(engine: Engine) -> None:
    free = [request(f"free-{seed}", None, seed=seed, max_tokens=40) for seed in range(3)]
    alone = {r.id: tokens(run(engine, [r])[r.id]) for r in free}
    governed = [request(f"governed-{seed}", OBJECT, seed=seed) for seed in range(3)]
    together = run(engine, [each for pair in zip(free, governed, strict=True) for each in pair])
    assert {name: tokens(events) for name, events in together.items() if name in alone} == alone
    assert_nothing_held(engine)
    assert not engine._answers


def test_special_tokens_come_where_the_grammar_has_them_and_nowhere_else(engine: Engine) -> None:
    grammar = 'start: <|channel|> "final" <|message|> TEXT <|end|>\nTEXT: /[a-z ]{1,20}/'
    events = run(engine, [request("a", grammar)])["a"]
    ids = tokens(events)
    special = set(TOKENIZER.special_ids.values())
    assert [TOKENIZER.token_text(i) for i in ids if i in special] == ["<|channel|>", "<|message|>", "<|end|>"]
    assert events[-1].finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    "grammar",
    [
        "start: nowhere", "start: (", 'start: %json {"type": "nope"}', "start: /[/", "start: /a(b/", "other: /a/",
        "start: /((a{1000}){1000}){1000}/",
        "start: A\nA: /a/ & /b/",
        'start: a{1000000000}\na: "x"',
        f"start: %json {json.dumps({'properties': {f'p{i}': {} for i in range(9000)}})}",
        "start: /" + "(" * 9000 + ")" * 9000 + "/",
    ],
)  # fmt: skip
def test_a_malformed_grammar_is_refused(engine: Engine, grammar: str) -> None:
    with pytest.raises(RequestError) as raised:
        engine.add(request("a", grammar))
    assert raised.value.param == "grammar"
    assert engine.idle


def test_the_mask_is_one_bit_a_token() -> None:
    state = compiler().compile('start: "yes" | "no"')
    allowed = allowed_tokens([state], CONFIG.vocab_size, torch.device("cpu"))
    first = {TOKENIZER.token_text(i) for i in allowed[0].nonzero()[:, 0].tolist()}
    assert first
    assert all("yes".startswith(text) or "no".startswith(text) for text in first)


def test_a_grammar_without_a_vocabulary_says_so(tmp_path: Path) -> None:
    compiler = GrammarCompiler(tmp_path / "tokenizer.json", 10, ())
    compiler.load()
    with pytest.raises(ConfigError, match=r"tokenizer.json is missing"):
        compiler.compile("start: /a/")


def test_a_grammar_that_grows_too_large_on_the_way_fails(engine: Engine) -> None:
    """What it then allows is only an end; that is none of the answer's."""
    grammar = "start: /(?s:.*)[a-m](?s:.{500})[a-m](?s:.{500})c/"
    neighbour = request("b", None)
    events = run(engine, [request("a", grammar, max_tokens=400, temperature=1.0), neighbour])
    assert events["a"][-1].finish_reason == FinishReason.ERROR
    assert "the grammar cannot continue" in (events["a"][-1].error or "")
    assert tokens(events["b"]) == tokens(run(engine, [neighbour])["b"])
    assert_nothing_held(engine)


def test_a_grammar_that_takes_too_long_fails(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its ways to read what was written are gone through at every token: that grows with the third power."""
    monkeypatch.setattr("engine.grammar.PATIENCE_SECONDS", 0.2)
    slow = 'start: s\ns: "a" | "b" | ' + " | ".join("s " * count for count in range(2, 9))
    events = run(engine, [request("a", slow, max_tokens=300, temperature=1.0, ignore_eos=True), request("b", OBJECT)])
    assert events["a"][-1].error == "the grammar cannot continue: it takes too long"
    assert events["b"][-1].finish_reason == FinishReason.STOP
    assert_nothing_held(engine)


def test_a_preempted_grammar_goes_on_where_it_was() -> None:
    engine = build_engine(EMBEDDED, max_num_seqs=4, page_size=4, max_model_len=96)
    requests = [request(f"r{seed}", OBJECT, seed=seed, max_tokens=80) for seed in range(4)]
    alone = {r.id: tokens(run(engine, [r])[r.id]) for r in requests}
    shrink(engine, 24)
    together = run(engine, requests)
    assert {name: tokens(events) for name, events in together.items()} == alone
    assert engine.scheduler.preemptions > 0
