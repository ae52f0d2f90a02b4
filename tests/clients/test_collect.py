from clients.collect import Collector, collect
from clients.results import Delta, ToolCall, ToolCallDelta, Usage


def test_choices_and_calls_keep_their_places() -> None:
    deltas = [
        Delta(id="1", model="m", index=1, text="b"),
        Delta(id="1", model="m", index=0, reasoning="Hm."),
        Delta(id="1", model="m", index=0, tool_calls=(ToolCallDelta(index=1, id="y", name="g"),)),
        Delta(id="1", model="m", index=0, tool_calls=(ToolCallDelta(index=0, id="x", name="f", arguments="{"),)),
        Delta(id="1", model="m", index=0, tool_calls=(ToolCallDelta(index=0, arguments="}"),)),
        Delta(id="1", model="m", index=1, text="c", finish_reason="length"),
        Delta(id="1", model="m", index=0, finish_reason="tool_calls"),
        Delta(id="1", model="m", usage=Usage(prompt_tokens=3, completion_tokens=4)),
    ]
    answer = collect(deltas)
    first, second = answer.choices
    assert (first.reasoning, first.finish_reason) == ("Hm.", "tool_calls")
    assert first.tool_calls == (ToolCall(id="x", name="f", arguments="{}"), ToolCall(id="y", name="g", arguments=""))
    assert (second.index, second.text, second.finish_reason) == (1, "bc", "length")
    assert (answer.id, answer.model, answer.usage.completion_tokens) == ("1", "m", 4)
    assert answer.message["content"] is None
    assert answer.message["reasoning"] == "Hm."


def test_so_far() -> None:
    collector = Collector()
    assert (collector.answer().text, collector.answer().choices[0].finish_reason) == ("", "")
    collector.feed(Delta(text="a"))
    assert collector.answer().text == "a"
    assert collector.answer().usage == Usage(prompt_tokens=0, completion_tokens=0)


def test_usage_on_every_chunk_loses_no_text() -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=1)
    answer = collect([Delta(text="a", usage=usage), Delta(finish_reason="stop", usage=usage), Delta(usage=usage)])
    assert (answer.text, answer.choices[0].finish_reason, len(answer.choices)) == ("a", "stop", 1)


def test_log_probabilities_that_some_chunks_lack() -> None:
    parts = [{"content": [1], "refusal": None}, {"content": None}, {"content": [2], "refusal": [3]}]
    assert collect(Delta(logprobs=part) for part in parts).choices[0].logprobs == {"content": [1, 2], "refusal": [3]}
    none = {"content": [], "refusal": None}
    assert collect([Delta(logprobs=none), Delta(logprobs=none)]).choices[0].logprobs == none


def test_usage_details() -> None:
    counts = {"prompt_tokens": 5, "completion_tokens": 4}
    details = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}
    whole = Usage(prompt_tokens=5, completion_tokens=4, cached_tokens=3, reasoning_tokens=2)
    assert Usage.parse({**counts, **details}) == whole
    missing = {"prompt_tokens_details": None, "completion_tokens_details": None}
    assert Usage.parse({**counts, **missing}) == Usage(prompt_tokens=5, completion_tokens=4)
