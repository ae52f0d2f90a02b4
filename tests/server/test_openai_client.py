"""OpenAI's own client, over a real port."""

from collections.abc import Callable

import pytest
from openai import APIError as OpenAIError
from openai import (
    AsyncOpenAI,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    pydantic_function_tool,
)
from openai.types.chat import ParsedChatCompletionMessage
from pydantic import BaseModel

from tests.server.scripted_engine import Script, ScriptedEngine

Say = Callable[..., Script]
HI = [{"role": "user", "content": "hi"}]
TURN = "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>final<|message|>Hello 😀!"


async def test_models(openai: AsyncOpenAI) -> None:
    assert [model.id async for model in openai.models.list()] == ["tiny", "alias"]
    assert (await openai.models.retrieve("alias")).max_model_len == 4096
    with pytest.raises(NotFoundError):
        await openai.models.retrieve("other")


async def test_completion(openai: AsyncOpenAI) -> None:
    answer = await openai.completions.create(model="tiny", prompt="hi", logprobs=2)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Hello!", "stop")
    assert answer.choices[0].logprobs.tokens == list("Hello!")
    assert answer.usage.total_tokens == 8


async def test_streamed_completion(openai: AsyncOpenAI) -> None:
    stream = await openai.completions.create(
        model="tiny", prompt="hi", stream=True, n=3, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    texts = ["", "", ""]
    for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == ["Hello!"] * 3
    assert last.usage.completion_tokens == 18


async def test_chat(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN)
    answer = await openai.chat.completions.create(
        model="tiny", messages=HI, n=3, logprobs=True, top_logprobs=3, reasoning_effort="low", max_tokens=200
    )
    assert [choice.message.content for choice in answer.choices] == ["Hello 😀!"] * 3
    assert answer.choices[0].message.reasoning_content == "Think."
    assert len(answer.choices[0].logprobs.content) == len("Hello 😀!".encode())
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3 * len("Think.")


async def test_streamed_chat(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN, per_step=3)
    stream = await openai.chat.completions.create(model="tiny", messages=HI, stream=True, stop="!")
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello 😀"
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_the_streaming_helper_accumulates(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN, per_step=2)
    async with openai.chat.completions.stream(model="tiny", messages=HI, logprobs=True) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.content == "Hello 😀!"
    assert len(completion.choices[0].logprobs.content) == len("Hello 😀!".encode())


class Point(BaseModel):
    x: int
    y: int


async def test_the_helpers_for_tools_and_schemas(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    """Parsed into the classes they were asked for by, whole and streamed."""
    calls = "".join(
        f'<|start|>assistant<|channel|>commentary to=functions.Point<|message|>{{"x":{x},"y":2}}<|end|>' for x in (1, 3)
    )
    engine.play = lambda request: say(calls.removeprefix("<|start|>assistant"), per_step=4)
    asked = {"model": "tiny", "messages": HI, "tools": [pydantic_function_tool(Point)]}
    parsed = (await openai.chat.completions.parse(**asked)).choices[0]
    async with openai.chat.completions.stream(**asked) as stream:
        streamed = (await stream.get_final_completion()).choices[0]
    for choice in (parsed, streamed):
        points = [call.function.parsed_arguments for call in choice.message.tool_calls]
        assert (points, choice.finish_reason) == ([Point(x=1, y=2), Point(x=3, y=2)], "tool_calls")
    engine.play = lambda request: say('<|channel|>final<|message|>{"x":5,"y":6}', per_step=4)
    asked = {"model": "tiny", "messages": HI, "response_format": Point}
    assert (await openai.chat.completions.parse(**asked)).choices[0].message.parsed == Point(x=5, y=6)
    async with openai.chat.completions.stream(**asked) as stream:
        assert (await stream.get_final_completion()).choices[0].message.parsed == Point(x=5, y=6)
    assert all(request.sampling.grammar is not None for request in engine.submitted), "these helpers are strict"


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # OpenAI's client, of its own messages.
async def test_what_the_helpers_return_can_be_sent_back(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    """Calls with their numbers and their parsed arguments, answers with what they were parsed into."""

    async def helped(**asked: object) -> list[ParsedChatCompletionMessage]:
        """The message as both helpers make it."""
        parsed = await openai.chat.completions.parse(model="tiny", messages=HI, **asked)
        async with openai.chat.completions.stream(model="tiny", messages=HI, **asked) as stream:
            return [each.choices[0].message for each in (parsed, await stream.get_final_completion())]

    tools = [pydantic_function_tool(Point)]
    engine.play = lambda request: say('<|channel|>commentary to=functions.Point<|message|>{"x":1,"y":2}<|call|>')
    calls = await helped(tools=tools)
    engine.play = lambda request: say('<|channel|>final<|message|>{"x":5,"y":6}', per_step=4)
    answers = await helped(response_format=Point)
    prompts = set()
    for call, answer in zip(calls, answers, strict=True):
        result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "done"}
        again = [*HI, call, result, answer, *HI]
        await openai.chat.completions.create(model="tiny", messages=again, tools=tools)
        prompts.add(engine.submitted[-1].prompt_token_ids)
    assert len(prompts) == 1, "what the helpers add changes nothing"


async def test_responses(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say(TURN)
    answer = await openai.responses.create(
        model="tiny", input="hi", include=["message.output_text.logprobs"], top_logprobs=3, reasoning={"effort": "low"}
    )
    assert answer.output_text == "Hello 😀!"
    reasoning, message = answer.output
    assert reasoning.content[0].text == "Think."
    assert len(message.content[0].logprobs) == len("Hello 😀!".encode())
    assert answer.usage.output_tokens_details.reasoning_tokens == len("Think.")
    again = await openai.responses.retrieve(answer.id)
    assert again.to_dict() == answer.to_dict()
    more = await openai.responses.create(model="tiny", input="more", previous_response_id=answer.id)
    same = await openai.responses.create(
        model="tiny", input=[{"role": "user", "content": "hi"}, *answer.output, {"role": "user", "content": "more"}]
    )
    assert more.output_text == same.output_text
    assert engine.submitted[-1].prompt_token_ids == engine.submitted[-2].prompt_token_ids
    await openai.responses.delete(answer.id)
    with pytest.raises(NotFoundError):
        await openai.responses.retrieve(answer.id)
    begun = await openai.responses.create(model="tiny", input="hi", background=True)
    assert (await openai.responses.cancel(begun.id)).status in ("cancelled", "completed")


async def test_input_items(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    """Those of all turns, page by page, each once; they can be sent back as they are, and by their names."""
    call = "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>commentary to=functions.Point"
    engine.play = lambda request: say(f'{call}<|message|>{{"x":1}}<|call|>')
    asked = {"model": "tiny", "tools": [pydantic_function_tool(Point)["function"] | {"type": "function"}]}
    first = await openai.responses.create(
        input=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi", "id": "msg_mine"}],
        **asked,
    )
    result = {"type": "function_call_output", "call_id": first.output[1].call_id, "output": "done"}
    engine.play = lambda request: say(TURN)
    second = await openai.responses.create(input=[result], previous_response_id=first.id, **asked)
    third = await openai.responses.create(input="more", previous_response_id=second.id, **asked)
    listed = await openai.responses.input_items.list(third.id, order="asc")
    assert (listed.has_more, listed.first_id, listed.last_id) == (False, listed.data[0].id, listed.data[-1].id)
    kinds = [item.type for item in listed.data]
    assert kinds == ["message", "message", "reasoning", "function_call", "function_call_output", "reasoning",
                     "message", "message"]  # fmt: skip
    developer, user, *own, output, thought, answer, more = listed.data
    assert (developer.role, developer.content[0].text, user.id) == ("developer", "Be brief.", "msg_mine")
    assert [item.id for item in own] == [item.id for item in first.output]
    assert own[0].content[0].text == "Think."
    assert (own[1].name, own[1].arguments) == ("Point", '{"x":1}')
    assert (output.call_id, output.output) == (own[1].call_id, "done")
    assert [thought.id, answer.id] == [item.id for item in second.output]
    assert (answer.role, answer.content[0].type, answer.content[0].text) == ("assistant", "output_text", "Hello 😀!")
    assert (more.role, more.content[0].type, more.content[0].text) == ("user", "input_text", "more")
    for limit in (1, 3, 8, 100):
        paged = [item async for item in openai.responses.input_items.list(third.id, limit=limit)]
        assert paged == listed.data[::-1], "the last one first"
    page = await openai.responses.input_items.list(third.id, order="asc", limit=3, after=user.id)
    assert (page.data, page.has_more) == ([*own, output], True)
    of_first = await openai.responses.input_items.list(first.id, order="asc")
    assert of_first.data == [developer, user], "its own answer is none of them"
    carried = await openai.responses.input_items.list(third.id, include=["reasoning.encrypted_content"])
    assert [item.encrypted_content is not None for item in carried.data if item.type == "reasoning"] == [True, True]
    of_second = listed.data[:5]
    for again in (of_second, [{"type": "item_reference", "id": item.id} for item in of_second]):
        await openai.responses.create(input=again, **asked)
        assert engine.submitted[-1].prompt_token_ids == engine.submitted[1].prompt_token_ids


async def test_streamed_responses(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    """The client's helper puts them together as they are when not streamed."""
    call = '<|channel|>commentary to=functions.Point<|message|>{"x":1,"y":2}<|call|>'
    for written in (TURN, call, TURN.replace("final", "analysis"), f"{TURN.partition('<|end|>')[0]}<|end|>{call}"):
        engine.play = lambda request, written=written: say(written, per_step=3)
        asked = {"model": "tiny", "input": "hi", "tools": [pydantic_function_tool(Point)]}
        whole = await openai.responses.parse(**asked)
        kinds = []
        async with openai.responses.stream(**asked) as stream:
            async for event in stream:
                kinds.append(event.type)
            streamed = await stream.get_final_response()
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        assert streamed.output_text == whole.output_text
        assert [item.type for item in streamed.output] == [item.type for item in whole.output]
        calls = [item for item in streamed.output if item.type == "function_call"]
        assert all(item.parsed_arguments == Point(x=1, y=2) for item in calls)


async def test_parsed_responses(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    engine.play = lambda request: say('<|channel|>final<|message|>{"x":5,"y":6}', per_step=4)
    asked = {"model": "tiny", "input": "hi", "text_format": Point}
    parsed = await openai.responses.parse(**asked)
    assert parsed.output_parsed == Point(x=5, y=6)
    async with openai.responses.stream(**asked) as stream:
        assert (await stream.get_final_response()).output_parsed == Point(x=5, y=6)
    assert engine.submitted[-1].sampling.grammar is not None
    again = [*parsed.output, {"role": "user", "content": "more"}]
    assert (await openai.responses.create(model="tiny", input=again)).status == "completed"


async def test_errors(openai: AsyncOpenAI, engine: ScriptedEngine, say: Say) -> None:
    with pytest.raises(BadRequestError) as bad:
        await openai.chat.completions.create(model="tiny", messages=HI, temperature=9)
    assert bad.value.param == "temperature"
    with pytest.raises(NotFoundError) as unknown:
        await openai.completions.create(model="other", prompt="hi")
    assert unknown.value.code == "model_not_found"
    engine.room = 0
    with pytest.raises(RateLimitError):
        await openai.completions.create(model="tiny", prompt="hi")
    engine.room = 9
    engine.play = lambda request: say("ab", error="the forward pass failed")
    with pytest.raises(InternalServerError):
        await openai.completions.create(model="tiny", prompt="hi")
    stream = await openai.completions.create(model="tiny", prompt="hi", stream=True)
    with pytest.raises(OpenAIError, match="the forward pass failed"):
        _ = [chunk async for chunk in stream]
