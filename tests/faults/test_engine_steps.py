"""Steps that fail, and caches that are full: each costs exactly the requests it touches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from string import ascii_lowercase

import httpx
import pytest
import pytest_asyncio

from engine.config import EngineConfig
from engine.memory_sizes import kv_sizes
from engine.prompt.tokenizer import Tokenizer
from server.text import Text
from tests.checkpoints import small_config
from tests.faults.aftermath import Aftermath, metric
from tests.faults.asking import COMPLETIONS, Answer, ask, body, stream
from tests.faults.real_server import EXHAUSTS, FAULTS, RAISES, SPOILS, VOCAB_SIZE, RealServer, real_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = 8
"""Exactly a request of the longest length; what the tests send does not fit all at once."""
UNREADABLE = "~"
FAILURES = [
    pytest.param(RAISES, "RuntimeError", marks=pytest.mark.fault(31), id="raises"),
    pytest.param(EXHAUSTS, "RuntimeError", marks=pytest.mark.fault(21), id="allocation fails"),
    pytest.param(SPOILS, "not finite", marks=pytest.mark.fault(32), id="not a number"),
]
NEIGHBOURS = [body(f"a neighbour's secret {i}", 16) for i in range(5)]
LETTERS = {str(token): -100 for token in range(VOCAB_SIZE) if chr(token) not in ascii_lowercase}
Ask = Callable[[httpx.AsyncClient, dict], Awaitable[Answer]]


class BrittleTokenizer(Tokenizer):
    """Cannot read one of its tokens."""

    def token_bytes(self, token_id: int) -> bytes:
        if token_id == ord(UNREADABLE):
            raise ValueError("a fault on purpose, in a secret answer")
        return super().token_bytes(token_id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_model: EngineConfig) -> AsyncIterator[RealServer]:
    sizes = kv_sizes(small_config(), element_bytes=4)
    config = replace(
        tiny_model,
        max_model_len=PAGES * tiny_model.page_size,
        max_num_batched_tokens=16,
        faults=FAULTS,
        kv_cache_memory_bytes=tiny_model.max_num_seqs * sizes.rings + PAGES * tiny_model.page_size * sizes.token,
    )
    text = replace(Text.load(config.model), tokenizer=BrittleTokenizer.load(config.model))
    async with real_server(config, text=text) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(server: RealServer) -> list[Answer]:
    """What each of the neighbours writes if nobody else asks."""
    answers = [await ask(server.http, neighbour) for neighbour in NEIGHBOURS]
    assert all(answer.finish_reason == "length" for answer in answers)
    return answers


@pytest.mark.parametrize(("where", "how"), [("prompt", ask), ("long prompt", stream), ("answer", stream)])
@pytest.mark.parametrize(("fault", "why"), FAILURES)
async def test_a_step_that_fails_ends_who_makes_it_fail(
    server: RealServer, aftermath: Aftermath, alone: list[Answer], fault: str, why: str, where: str, how: Ask
) -> None:
    """The others, in its batch and in the queue, write what they write alone."""
    bad = {
        "prompt": body(f"one bad secret {fault} here"),
        "long prompt": body("one bad secret, long " * 3 + fault),
        "answer": body("one bad secret", logit_bias={str(ord(fault)): 100}),
    }[where]
    aftermath.secrets.append("secret")
    *together, failed = await asyncio.gather(*(how(server.http, one) for one in (*NEIGHBOURS, bad)))
    assert together == alone
    assert failed.finish_reason is None
    assert failed.error is not None
    assert (failed.error["type"], failed.error["code"]) == ("server_error", "generation_failed")
    assert why in failed.error["message"]
    assert len(failed.tokens) == (1 if (where, how) == ("answer", stream) else 0)
    assert server.engine.status.phase == "ready", "no engine is replaced for that"


@pytest.mark.fault(32)
async def test_scores_that_are_no_numbers(server: RealServer, aftermath: Aftermath) -> None:
    scored = body(f"one bad {SPOILS} secret", 0, echo=True)
    aftermath.secrets.append("secret")
    answer = await ask(server.http, scored)
    assert answer.error is not None
    assert "not finite" in answer.error["message"]
    fine = await ask(server.http, scored | {"prompt": "one good secret"})
    assert "".join(fine.tokens) == "one good secret"


@pytest.mark.fault(24)
async def test_pages_run_out_and_nobody_notices(server: RealServer, aftermath: Aftermath) -> None:
    """Four that need 4 pages each share 8."""
    asked = [body(f"a wordy neighbour {i}", 40) for i in range(4)]
    alone = [await stream(server.http, one) for one in asked]
    before = await metric(server.http, "preemptions_total")
    assert await asyncio.gather(*(stream(server.http, one) for one in asked)) == alone
    assert await metric(server.http, "preemptions_total") > before
    assert all((len(answer.tokens), answer.finish_reason) == (40, "length") for answer in alone)


@pytest.mark.fault(35)
@pytest.mark.parametrize("how", [ask, stream], ids=["whole", "streamed"])
async def test_a_detokeniser_that_raises_ends_that_request(
    server: RealServer, aftermath: Aftermath, alone: list[Answer], how: Ask
) -> None:
    aftermath.secrets.append("secret")
    bad = body("one bad secret", 100, logit_bias={str(ord(UNREADABLE)): 100})
    *together, failed = await asyncio.gather(*(how(server.http, one) for one in (*NEIGHBOURS[:3], bad)))
    assert together == alone[:3]
    assert (failed.finish_reason, failed.tokens) == (None, [])
    assert failed.error == {
        "message": "the server failed to answer this request",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }


@pytest.mark.fault(29)
async def test_a_stop_string_found_as_the_answer_ends(server: RealServer, aftermath: Aftermath) -> None:
    """The server ends the request while the engine does: one end is seen, and counted."""
    whole = await ask(server.http, body("where to stop", 12, logit_bias=LETTERS))
    ends = await metric(server.http, "choices_total")
    for cut in range(6, 12):
        stop = "".join(whole.tokens[cut - 1 : cut + 1])
        asked = body("where to stop", cut + 1, stop=[stop], logit_bias=LETTERS)
        for answer in (await ask(server.http, asked), await stream(server.http, asked)):
            assert answer.finish_reason == "stop"
            assert answer.text == whole.text[: whole.text.index(stop)]
    assert await metric(server.http, "choices_total") == ends + 12
    response = await server.http.post(COMPLETIONS, json=body("again", 3, n=3))
    assert [choice["finish_reason"] for choice in response.json()["choices"]] == ["length"] * 3
