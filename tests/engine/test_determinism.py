"""`--deterministic`: a request's log-probabilities are the same bits alone, in any batch, in chunks of any size and
after being preempted."""

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import Dtype
from engine.engine import Engine
from engine.request import Request, SamplingParams, TokenEvent
from tests.checkpoints import passing_directory, small_config, write_checkpoint
from tests.engines import build_engine, run, shrink

STYLES = (
    SamplingParams(temperature=0, logprobs=3, prompt_logprobs=2),
    SamplingParams(temperature=1.0, seed=1, logprobs=20, top_p=0.9, frequency_penalty=0.5),
    SamplingParams(temperature=0.6, seed=2, logprobs=1, min_p=0.02, top_k=40),
)
REQUESTS = tuple(
    Request(
        id=f"r{i}",
        prompt_token_ids=tuple((37 * i + 11 * j * j) % 150 for j in range(length)),
        sampling=replace(STYLES[i % 3], max_tokens=30 - i, ignore_eos=True),
    )
    for i, length in enumerate((1, 70, 9, 33, 2, 8, 130, 17, 64))
)
PAGE_SIZE = 4
LONGEST = 160
FEWEST_PAGES = LONGEST // PAGE_SIZE
KINDS: tuple[tuple[Dtype, int], ...] = (("float32", 16), ("bfloat16", 16), ("bfloat16", 32))
"""Heads of 32 are known to the C++ ops, those of 16 are attended by plain torch."""


@cache
def checkpoint(head_dim: int) -> Path:
    directory = passing_directory("determinism")
    config = small_config(layer_types=("sliding_attention", "full_attention"), head_dim=head_dim)
    write_checkpoint(directory, config, seed=3)
    return directory


def engine(dtype: Dtype, head_dim: int, *, slots: int, budget: int, deterministic: bool = True) -> Engine:
    return build_engine(
        checkpoint(head_dim),
        dtype=dtype,
        deterministic=deterministic,
        max_num_seqs=slots,
        max_num_batched_tokens=budget,
        max_model_len=LONGEST,
        page_size=PAGE_SIZE,
    )


@cache
def alone(dtype: Dtype, head_dim: int, *, deterministic: bool = True) -> dict[str, list[TokenEvent]]:
    """Every request by itself, its prompt whole."""
    one = engine(dtype, head_dim, slots=1, budget=LONGEST, deterministic=deterministic)
    return {request.id: run(one, [request])[request.id] for request in REQUESTS}


@settings(max_examples=5)
@pytest.mark.parametrize(("dtype", "head_dim"), KINDS)
@given(
    order=st.lists(st.sampled_from(range(len(REQUESTS))), min_size=2, unique=True),
    slots=st.integers(2, 9),
    spare=st.integers(0, 60),
    pages=st.integers(FEWEST_PAGES, 3 * FEWEST_PAGES),
    between=st.integers(0, 5),
)
def test_no_bit_depends_on_company(
    dtype: Dtype, head_dim: int, order: list[int], slots: int, spare: int, pages: int, between: int
) -> None:
    """`between` steps pass from one request's arrival to the next one's."""
    batched = engine(dtype, head_dim, slots=slots, budget=slots + spare)
    shrink(batched, min(pages, batched.scheduler.pool.total))
    arriving = [REQUESTS[i] for i in order]
    got: dict[str, list[TokenEvent]] = {request.id: [] for request in arriving}
    for step in itertools.count():
        if arriving and step % (between + 1) == 0:
            batched.add(arriving.pop(0))
        elif batched.idle:
            break
        for event in batched.step():
            got[event.request_id].append(event)
    assert got == {request_id: alone(dtype, head_dim)[request_id] for request_id in got}


@pytest.mark.parametrize(("dtype", "head_dim"), KINDS)
def test_no_bit_depends_on_a_preemption(dtype: Dtype, head_dim: int) -> None:
    crowded = engine(dtype, head_dim, slots=8, budget=40)
    shrink(crowded, FEWEST_PAGES)
    assert run(crowded, REQUESTS) == alone(dtype, head_dim)
    assert crowded.scheduler.preemptions >= 3


def test_without_it_bits_do_depend_on_company() -> None:
    """Or the tests above would show nothing."""
    batched = engine("float32", 16, slots=8, budget=40, deterministic=False)
    assert run(batched, REQUESTS) != alone("float32", 16, deterministic=False)


def test_it_changes_no_number_by_more_than_rounding() -> None:
    for request_id, events in alone("float32", 16).items():
        plain = alone("float32", 16, deterministic=False)[request_id]
        got, expected = (
            torch.tensor([entry.logprob for event in each for entry in event.logprobs]) for each in (events, plain)
        )
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
