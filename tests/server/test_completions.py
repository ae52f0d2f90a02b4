"""/v1/completions: its answers, whole and streamed, against scripted tokens."""

import asyncio
import json
import random
from collections.abc import Callable

import httpx
import pytest

from engine.prompt import stop_strings
from engine.request import FinishReason, TokenLogprob
from server.text import Text
from tests.server.scripted_engine import Script, ScriptedEngine

PATH = "/v1/completions"
Say = Callable[..., Script]


async def complete(http: httpx.AsyncClient, **body: object) -> dict:
    response = await http.post(PATH, json={"prompt": "hi"} | body)
    assert response.status_code == 200, response.text
    return response.json()


async def stream(http: httpx.AsyncClient, **body: object) -> list[dict]:
    """The chunks of a stream, whose form is checked on the way."""
    response = await http.post(PATH, json={"prompt": "hi", "stream": True} | body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, end = response.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    assert all(event.startswith("data: ") for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def texts(chunks: list[dict], n: int = 1) -> list[str]:
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return ["".join(choice["text"] for choice in choices if choice["index"] == i) for i in range(n)]


async def test_whole_answer(http: httpx.AsyncClient) -> None:
    answer = await complete(http, model="alias")
    assert answer.pop("id").startswith("cmpl-")
    assert isinstance(answer.pop("created"), int)
    assert answer.pop("system_fingerprint").startswith("carousel-")
    assert answer == {
        "object": "text_completion",
        "model": "alias",
        "choices": [{"index": 0, "text": "Hello!", "logprobs": None, "finish_reason": "stop", "stop_reason": None}],
        "usage": {
            "prompt_tokens": 2,
            "completion_tokens": 6,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


async def test_streamed_answer(http: httpx.AsyncClient) -> None:
    chunks = await stream(http)
    assert texts(chunks) == ["Hello!"]
    assert len({(chunk["id"], chunk["created"], chunk["system_fingerprint"]) for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)
    *deltas, last = [chunk["choices"][0] for chunk in chunks]
    assert all(delta["finish_reason"] is None and delta["text"] for delta in deltas)
    assert last == {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop", "stop_reason": None}


async def test_usage_in_a_stream(http: httpx.AsyncClient) -> None:
    whole = await complete(http)
    *chunks, last = await stream(http, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    options = {"include_usage": True, "continuous_usage_stats": True}
    *chunks, last = await stream(http, stream_options=options)
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == [1, 2, 3, 4, 5, 6, 6]
    assert last["usage"] == whole["usage"]


async def test_streamed_equals_whole(http: httpx.AsyncClient, engine: ScriptedEngine, text: Text) -> None:
    """Whatever the tokens and however they are grouped into steps: bytes that are no character, special
    tokens, stop strings, stop tokens.
    """
    grouping = random.Random(0)
    end = text.tokenizer.special_ids["<|end|>"]

    def play(request: object) -> Script:
        tokens = random.Random(request.sampling.seed)
        words = [*(word.encode() for word in ("a", "b", "abc", "c", "😀", "é")), b"\xf0\x9f", [end]]
        written = [token for word in tokens.choices(words, k=tokens.randrange(30)) for token in word]
        steps = []
        while written:
            size = grouping.randint(1, 5)
            steps.append(written[:size])
            written = written[size:]
        return Script(steps, FinishReason.STOP, stop_token_id=100)

    engine.play = play
    found = set()
    for seed in range(150):
        body = {"seed": seed, "n": 2, "stop": ["abca", "c😀"], "logprobs": 1, "max_tokens": 100}
        whole = await complete(http, **body)
        chunks = await stream(http, **body, stream_options={"include_usage": True})
        ends = {c["choices"][0]["index"]: c["choices"][0] for c in chunks if c["choices"]}
        for index, choice in enumerate(whole["choices"]):
            assert choice["text"] == texts(chunks, 2)[index]
            assert choice["finish_reason"] == ends[index]["finish_reason"]
            assert choice["stop_reason"] == ends[index]["stop_reason"]
            parts = [c["choices"][0] for c in chunks if c["choices"] and c["choices"][0]["index"] == index]
            for name, values in choice["logprobs"].items():
                assert values == [value for part in parts if part["logprobs"] for value in part["logprobs"][name]]
            found.add(choice["stop_reason"])
        assert whole["usage"] == chunks[-1]["usage"]
    assert found == {None, "abca", "c😀"}


@pytest.mark.parametrize("per_step", [1, 2, 3, 7])
async def test_no_character_is_split(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int) -> None:
    engine.play = lambda request: say("a😀b👩‍👩‍👧é你好", per_step=per_step)
    chunks = await stream(http)
    assert texts(chunks) == ["a😀b👩‍👩‍👧é你好"]
    assert "�" not in "".join(chunk["choices"][0]["text"] for chunk in chunks)


async def test_a_character_cut_off_is_replaced(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: Script([[97], [0xF0], [0x9F]], FinishReason.LENGTH)
    assert (await complete(http))["choices"][0]["text"] == "a�"
    assert texts(await stream(http)) == ["a�"]


@pytest.mark.parametrize("per_step", [1, 2, 3, 5, 50])
async def test_stop_strings(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, per_step: int) -> None:
    engine.play = lambda request: say("one, two, STSTOP and more", per_step=per_step, hangs=True)
    whole = await complete(http, stop=["STOP", "never"])
    choice = whole["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == (
        "one, two, ST",
        "stop",
        "STOP",
    )
    assert whole["usage"]["completion_tokens"] == len("one, two, STSTOP")
    assert engine.aborted == [engine.submitted[0].id]
    chunks = await stream(http, stop="STOP", stream_options={"include_usage": True})
    assert texts(chunks) == ["one, two, ST"]
    assert all(not chunk["choices"][0]["text"].endswith("STO") for chunk in chunks[:-1])
    assert chunks[-1]["usage"] == whole["usage"]
    assert engine.running == 0


async def test_half_a_stop_string_at_the_end_is_text(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("the STO", finish=FinishReason.LENGTH)
    choice = (await complete(http, stop="STOP"))["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("the STO", "length", None)


async def test_stop_tokens_are_not_shown(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("ab", stop_token_id=ord("!"))
    answer = await complete(http, stop_token_ids=[ord("!"), ord("?")])
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("ab", "stop", ord("!"))
    assert answer["usage"]["completion_tokens"] == 3
    # The same token, stopping as one of the checkpoint's own: nothing to tell.
    assert (await complete(http))["choices"][0]["stop_reason"] is None


async def test_special_tokens_have_no_text(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("a<|end|>b<|start|>c")
    assert (await complete(http, ignore_eos=True))["choices"][0]["text"] == "abc"


async def test_three_choices(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(f"seed {request.sampling.seed}", per_step=1 + request.sampling.seed % 3)
    answer = await complete(http, n=3, seed=7)
    assert [choice["text"] for choice in answer["choices"]] == ["seed 7", "seed 8", "seed 9"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["prompt_tokens"] == 2
    assert answer["usage"]["completion_tokens"] == 18
    chunks = await stream(http, n=3, seed=7)
    assert texts(chunks, 3) == ["seed 7", "seed 8", "seed 9"]
    assert sum(chunk["choices"][0]["finish_reason"] is not None for chunk in chunks) == 3
    ids = [request.id for request in engine.submitted[:3]]
    assert ids == [f"{answer['id']}-0-{i}" for i in range(3)]


@pytest.mark.parametrize("prompt", [["ab", "c"], [[97, 98], [99]]])
async def test_a_batch_of_prompts(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, prompt: list) -> None:
    engine.play = lambda request: say(f"<{bytes(request.prompt_token_ids).decode()}{request.sampling.seed}>")
    answer = await complete(http, prompt=prompt, n=2, seed=5)
    assert [choice["text"] for choice in answer["choices"]] == ["<ab5>", "<ab6>", "<c5>", "<c6>"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == 3


async def test_what_the_engine_is_asked(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    await complete(http)
    sampling = engine.submitted[0].sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k) == (16, 1.0, 1.0, 0)
    assert (sampling.seed, sampling.logprobs, sampling.prompt_logprobs) == (None, None, None)
    await complete(
        http, prompt=[1, 2], max_tokens=5, temperature=0, top_p=0.5, top_k=-1, min_p=0.1, seed=-3,
        presence_penalty=0.1, frequency_penalty=0.2, repetition_penalty=1.1, logit_bias={"7": -100},
        min_tokens=2, stop_token_ids=[9], ignore_eos=True, logprobs=4, priority=-2, stop=["x"],
    )  # fmt: skip
    request = engine.submitted[1]
    sampling = request.sampling
    assert (request.prompt_token_ids, request.priority) == ((1, 2), -2)
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k) == (5, 0, 0.5, 0)
    assert (sampling.min_p, sampling.seed, sampling.presence_penalty) == (0.1, -3, 0.1)
    assert (sampling.frequency_penalty, sampling.repetition_penalty) == (0.2, 1.1)
    assert (sampling.logit_bias, sampling.min_tokens, sampling.stop_token_ids) == ({7: -100}, 2, (9,))
    assert (sampling.ignore_eos, sampling.logprobs, sampling.stop) == (True, 4, ("x",))


async def test_markup_in_a_prompt_is_text(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    await complete(http, prompt="<|start|>system")
    assert engine.submitted[0].prompt_token_ids == tuple(b"<|start|>system")


async def test_logprobs(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("aé", stop_token_id=258)
    choice = (await complete(http, logprobs=2))["choices"][0]
    assert choice["text"] == "aé"
    assert choice["logprobs"] == {
        "tokens": ["a", "�", "�", "<|return|>"],
        "token_logprobs": [-0.097, -0.195, -0.169, -0.258],
        "top_logprobs": [
            {"a": -0.097, "b": -0.098},
            {"�": -0.195},
            {"�": -0.169},
            {"<|return|>": -0.258, "<|constrain|>": -0.259},
        ],
        "text_offset": [0, 1, 1, 2],
    }
    only_chosen = (await complete(http, logprobs=0))["choices"][0]["logprobs"]
    assert only_chosen["top_logprobs"][0] == {"a": -0.097}


async def test_echo(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("bc")
    for body in ({"prompt": "xé"}, {"prompt": [*"xé".encode()]}):
        answer = await complete(http, **body, echo=True, logprobs=1)
        choice = answer["choices"][0]
        assert choice["text"] == "xébc"
        assert choice["logprobs"]["tokens"] == ["x", "�", "�", "b", "c"]
        assert choice["logprobs"]["token_logprobs"] == [None, -0.195, -0.169, -0.098, -0.099]
        assert choice["logprobs"]["top_logprobs"][0] is None
        assert choice["logprobs"]["text_offset"] == [0, 1, 1, 2, 3]
        assert answer["usage"]["completion_tokens"] == 2
        chunks = await stream(http, **body, echo=True, logprobs=1)
        assert texts(chunks) == ["xébc"]
    plain = (await complete(http, prompt="xé", echo=True))["choices"][0]
    assert (plain["text"], plain["logprobs"]) == ("xébc", None)


async def test_a_stop_string_in_the_echo_stops_nothing(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say
) -> None:
    engine.play = lambda request: say("yes")
    assert (await complete(http, prompt="STOP", echo=True, stop="STOP"))["choices"][0]["text"] == "STOPyes"


async def test_scoring_a_prompt(http: httpx.AsyncClient, engine: ScriptedEngine) -> None:
    engine.play = lambda request: Script(finish=FinishReason.LENGTH)
    answer = await complete(http, prompt="abc", echo=True, logprobs=1, max_tokens=0)
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("abc", "length")
    assert choice["logprobs"]["token_logprobs"] == [None, -0.098, -0.099]
    assert engine.submitted[0].sampling.max_tokens == 0
    assert answer["usage"]["completion_tokens"] == 0


async def test_minus_infinity_is_a_number(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    certain = TokenLogprob(97, float("-inf"), ((97, float("-inf")),))
    monkeypatch.setattr(engine, "_logprobs", lambda tokens, count: (certain,) * len(tokens))
    engine.play = lambda request: say("a")
    assert (await complete(http, logprobs=1))["choices"][0]["logprobs"]["token_logprobs"] == [-9999.0]


async def test_a_failure_is_an_error_answer(http: httpx.AsyncClient, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say("some text", error="the forward pass failed")
    response = await http.post(PATH, json={"prompt": "hi"})
    assert response.status_code == 500
    assert response.json()["error"] == {
        "message": "the forward pass failed",
        "type": "server_error",
        "param": None,
        "code": "generation_failed",
    }


async def test_a_failure_in_a_stream_is_its_last_event(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say
) -> None:
    def play(request: object) -> Script:
        if request.id.endswith("-1"):
            return say("ab", error="the forward pass failed")
        return say("other", hangs=True)

    engine.play = play
    response = await http.post(PATH, json={"prompt": "hi", "stream": True, "n": 2})
    assert response.status_code == 200
    *chunks, last, end = response.text.split("\n\n")
    assert end == ""
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "the forward pass failed"
    assert all("error" not in chunk for chunk in chunks)
    await asyncio.sleep(0)
    assert engine.running == 0, "the sibling of a failed choice goes on"


async def test_an_abort_by_the_engine_is_no_normal_end(
    http: httpx.AsyncClient, engine: ScriptedEngine, say: Say
) -> None:
    engine.play = lambda request: say("a", finish=FinishReason.ABORT)
    assert (await http.post(PATH, json={"prompt": "hi"})).status_code == 500


@pytest.mark.parametrize("n", [1, 2, 4])
async def test_best_of(http: httpx.AsyncClient, engine: ScriptedEngine, say: Callable[..., Script], n: int) -> None:
    """Token t has log-probability -t/1000: the mean decides, not the sum, and the likeliest comes first."""
    texts = ["zz", "AB", "z" * 9, "AAAA"]
    engine.play = lambda request: say(texts[request.sampling.seed])
    body = {"prompt": ["x", "yz"], "seed": 0, "best_of": 4, "n": n}
    for logprobs in (None, 1):
        answer = await complete(http, **body, logprobs=logprobs)
        best = texts if n == 4 else ["AAAA", "AB"][:n]
        assert [choice["text"] for choice in answer["choices"]] == best * 2
        assert [choice["index"] for choice in answer["choices"]] == list(range(2 * n))
        assert all((choice["logprobs"] is None) == (logprobs is None) for choice in answer["choices"])
        assert answer["usage"]["prompt_tokens"] == 3
        assert answer["usage"]["completion_tokens"] == 2 * sum(map(len, texts)), "all candidates were written"


@pytest.mark.parametrize(
    "fields", [{"best_of": 1, "n": 2}, {"best_of": 17}, {"best_of": 0}, {"best_of": 2, "stream": True}]
)
async def test_best_of_out_of_range(http: httpx.AsyncClient, engine: ScriptedEngine, fields: dict) -> None:
    response = await http.post("/v1/completions", json={"prompt": "x"} | fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "best_of")
    assert engine.submitted == []


async def test_stop_strings_are_prepared_once_for_all_choices(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[object] = []
    automaton = stop_strings._automaton
    monkeypatch.setattr(stop_strings, "_automaton", lambda stops: prepared.append(stops) or automaton(stops))
    body = {"prompt": ["a", "b"], "n": 3, "stop": ["END"], "max_tokens": 2}
    assert len((await http.post("/v1/completions", json=body)).json()["choices"]) == 6
    assert prepared == [("END",)]
