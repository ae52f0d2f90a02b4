"""The engine as a library, on the embedded model: load, generate, stream."""

import re

import pytest

from engine import LLM, EngineConfig, FinishReason, SamplingParams, TokenEvent
from engine.checkpoint.hub import resolve_model
from engine.errors import GenerationError, RequestError
from engine.prompt.chat import Conversation
from engine.request import Request
from tests.engines import assert_nothing_held


@pytest.fixture(scope="module")
def llm() -> LLM:
    config = EngineConfig(model=resolve_model("embedded"), device="cpu", max_num_seqs=4, max_model_len=512)
    return LLM("embedded", config)


def test_the_embedded_model_writes_words(llm: LLM) -> None:
    (generation,) = llm.generate(["Once upon a time"], SamplingParams(max_tokens=30, temperature=0))
    words = generation.text.split()
    assert len(words) >= 10
    assert sum(word.strip(".,!?\"'").isalpha() for word in words) >= 0.8 * len(words)
    assert len(generation.token_ids) == 30 or generation.finish_reason is FinishReason.STOP


def test_a_chat_answers_in_harmony(llm: LLM) -> None:
    prompt = llm.chat.render(Conversation(messages=({"role": "user", "content": "Hello!"},)))
    (generation,) = llm.generate([prompt], SamplingParams(max_tokens=200, temperature=0))
    marked = llm.tokenizer.decode(generation.token_ids)
    assert marked.startswith("<|channel|>")
    assert "<|channel|>final<|message|>" in marked
    assert marked.endswith("<|return|>")
    assert generation.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_streamed_is_generated(llm: LLM, temperature: float) -> None:
    sampling = SamplingParams(max_tokens=40, temperature=temperature, seed=3)
    prompts = ["Once upon a time", "The little dog", "🙂 is"]
    generations = llm.generate(prompts, sampling)
    assert ["".join(llm.stream(prompt, sampling)) for prompt in prompts] == [g.text for g in generations]


def test_a_stop_string_ends_the_answer_and_the_request(llm: LLM) -> None:
    whole = llm.generate(["Once upon a time"], SamplingParams(max_tokens=40, temperature=0))[0].text
    stop = whole[12:17]
    sampling = SamplingParams(max_tokens=40, temperature=0, stop=(stop,))
    (generation,) = llm.generate(["Once upon a time"], sampling)
    assert generation.text == whole[: whole.index(stop)]
    assert generation.finish_reason is FinishReason.STOP
    assert "".join(llm.stream("Once upon a time", sampling)) == generation.text
    assert_nothing_held(llm.engine)


def test_nothing_is_taken_that_was_on_its_way_behind_a_stop_string(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step may bring two tokens of a request: it settles the step before it, too."""
    step = llm.engine.step
    stop = llm.tokenizer.decode(llm.generate(["Once"], SamplingParams(max_tokens=1, temperature=0))[0].token_ids)
    monkeypatch.setattr(llm.engine, "step", lambda: step() + step())
    (generation,) = llm.generate(["Once"], SamplingParams(max_tokens=9, temperature=0, stop=(stop,), logprobs=0))
    assert (len(generation.token_ids), len(generation.logprobs)) == (1, 1)
    assert generation.finish_reason is FinishReason.STOP
    assert_nothing_held(llm.engine)


def test_the_token_that_stops_is_not_in_the_text(llm: LLM) -> None:
    """As over HTTP."""
    (whole,) = llm.generate("Once upon a time", SamplingParams(max_tokens=8, temperature=0))
    last = whole.token_ids[4]
    sampling = SamplingParams(max_tokens=8, temperature=0, stop_token_ids=(last,))
    (generation,) = llm.generate("Once upon a time", sampling)
    stop = whole.token_ids.index(last)
    assert generation.token_ids == whole.token_ids[: stop + 1]
    assert generation.text == llm.tokenizer.decode(whole.token_ids[:stop])
    assert "".join(llm.stream("Once upon a time", sampling)) == generation.text


def test_one_prompt_need_not_be_a_list(llm: LLM) -> None:
    sampling = SamplingParams(max_tokens=5, temperature=0)
    ids = llm.tokenizer.encode("Once upon a time")
    answers = [llm.generate(prompt, sampling) for prompt in ("Once upon a time", ids, [ids], ["Once upon a time"])]
    assert answers[1:] == answers[:1] * 3
    assert llm.generate([], sampling) == []


def test_where_nothing_is_said_the_checkpoint_is_sampled_as_it_wants(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Request] = []
    add = llm.engine.add
    monkeypatch.setattr(llm.engine, "add", lambda request: requests.append(request) or add(request))
    llm.generate("Once upon a time")
    next(llm.stream("Once upon a time"))
    assert [request.sampling for request in requests] == [SamplingParams(top_p=0.8)] * 2


def test_one_stop_string_is_no_list_of_them() -> None:
    with pytest.raises(RequestError, match="several strings"):
        SamplingParams(stop="END")  # type: ignore[arg-type]


def test_closing_a_stream_frees_its_request(llm: LLM) -> None:
    stream = llm.stream("Once upon a time", SamplingParams(max_tokens=300, ignore_eos=True))
    next(stream)
    stream.close()
    assert llm.engine.idle
    assert_nothing_held(llm.engine)


def test_after_a_refused_prompt_all_goes_on(llm: LLM) -> None:
    with pytest.raises(RequestError, match="maximum context length"):
        llm.generate(["Once upon a time", [1] * 600])
    assert_nothing_held(llm.engine)
    assert llm.generate(["Once"], SamplingParams(max_tokens=3, ignore_eos=True))[0].finish_reason is FinishReason.LENGTH


def test_after_an_interruption_all_goes_on(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> list[TokenEvent]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(llm.engine, "step", interrupted)
        llm.generate(["Once upon a time"])
    assert_nothing_held(llm.engine)
    assert llm.generate(["Once"], SamplingParams(max_tokens=3, ignore_eos=True))[0].finish_reason is FinishReason.LENGTH


def test_streams_are_read_in_turn_and_beside_others(llm: LLM) -> None:
    sampling = SamplingParams(max_tokens=40, temperature=0)
    prompts = ["Once upon a time", "The little dog", "We saw"]
    wanted = [generation.text for generation in llm.generate(prompts, sampling)]
    first, second = (llm.stream(prompt, sampling) for prompt in prompts[:2])
    texts = [next(first), next(second)]
    assert llm.generate([prompts[2]], sampling)[0].text == wanted[2]
    assert [texts[1] + "".join(second), texts[0] + "".join(first)] == [wanted[1], wanted[0]]
    assert_nothing_held(llm.engine)


def test_a_failure_is_told(llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(tasks: object) -> None:
        raise ValueError("a broken step")

    told = "the engine failed to run this request (ValueError)"
    with monkeypatch.context() as patch:
        patch.setattr(llm.engine.runner, "launch", fails)
        (generation,) = llm.generate(["Once upon a time"])
        assert (generation.finish_reason, generation.error) == (FinishReason.ERROR, told)
        with pytest.raises(GenerationError, match=re.escape(told)):
            list(llm.stream("Once upon a time"))
    assert_nothing_held(llm.engine)


def test_logprobs_come_with_the_answer(llm: LLM) -> None:
    (generation,) = llm.generate(
        ["Once upon a time"], SamplingParams(max_tokens=5, temperature=0, logprobs=2, prompt_logprobs=0)
    )
    assert [entry.token_id for entry in generation.logprobs] == list(generation.token_ids)
    assert all(entry.top[0] == (entry.token_id, entry.logprob) for entry in generation.logprobs)
    assert generation.prompt_logprobs is not None
    assert generation.prompt_logprobs[0] is None
    assert len(generation.prompt_logprobs) == len(llm.tokenizer.encode("Once upon a time"))


def test_dummy_weights_need_only_a_config(llm: LLM) -> None:
    config = EngineConfig(model=resolve_model("embedded"), load_format="dummy", device="cpu", max_num_seqs=1)
    dummy = LLM("embedded", config)
    (generation,) = dummy.generate(["Once"], SamplingParams(max_tokens=8, ignore_eos=True))
    assert len(generation.token_ids) == 8
    real = llm.generate(["Once"], SamplingParams(max_tokens=8, temperature=0, ignore_eos=True))
    assert generation.token_ids != real[0].token_ids
