"""Parameters out of range are refused by name; nothing else is."""

from typing import Any

import pytest

from engine.errors import ContextLengthError, RequestError
from engine.request import SamplingParams, resolve_max_tokens


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("max_tokens", -1),
        ("max_tokens", 2**31),
        ("min_tokens", -1),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("min_p", 1.5),
        ("seed", 2**64),
        ("temperature", float("-inf")),
        ("presence_penalty", 2.5),
        ("frequency_penalty", -2.5),
        ("repetition_penalty", 0.009),
        ("logprobs", 21),
        ("prompt_logprobs", -1),
        ("logit_bias", {-1: 0.0}),
        ("logit_bias", {1: 101.0}),
        ("logit_bias", {1: float("nan")}),
        ("logit_bias", dict.fromkeys(range(1025), 0.0)),
        ("stop", ("",)),
        ("stop", ("x" * 1025,)),
        ("stop", ("x",) * 17),
        ("stop_token_ids", (-1,)),
        ("stop_token_ids", tuple(range(1025))),
    ],
)
def test_out_of_range_is_named(param: str, value: Any) -> None:
    with pytest.raises(RequestError, match=param.split("_")[0]) as raised:
        SamplingParams(**{param: value})
    assert raised.value.param == param


@pytest.mark.parametrize(
    "param", ["max_tokens", "min_tokens", "temperature", "top_k", "seed", "logprobs", "prompt_logprobs"]
)
def test_what_no_float_can_hold_is_out_of_range(param: str) -> None:
    for value in (10**400, -(10**400)):
        with pytest.raises(RequestError, match=f"{param} must be in"):
            SamplingParams(**{param: value})


def test_the_edges_are_allowed() -> None:
    SamplingParams(max_tokens=0, temperature=2.0, top_p=1.0, min_p=1.0, seed=-(2**63), logprobs=20)
    SamplingParams(max_tokens=5, min_tokens=5, repetition_penalty=10.0, stop=("x" * 1024,) * 16)
    with pytest.raises(RequestError, match="min_tokens"):
        SamplingParams(max_tokens=5, min_tokens=6)


def test_max_tokens_is_settled_by_the_context() -> None:
    assert resolve_max_tokens(100, 29, 128) == 29
    with pytest.raises(ContextLengthError, match="128 tokens; the prompt has 100 and max_tokens asks for 30"):
        resolve_max_tokens(100, 30, 128)
    with pytest.raises(ContextLengthError, match="128 tokens; the prompt has 129"):
        resolve_max_tokens(129, None, 128)
    with pytest.raises(RequestError, match="empty"):
        resolve_max_tokens(0, 1, 128)
