"""LangChain's ChatOpenAI: answers, streams, tools, structured output."""

from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr

pytestmark = pytest.mark.filterwarnings("default")


Name = Annotated[str, Field(max_length=20)]
"""Short, so that a small model that has lost its way still ends."""


class City(BaseModel):
    """A place."""

    name: Name
    inhabitants: Annotated[int, Field(ge=0, le=99_999_999)]


@tool
def weather(city: Name) -> str:
    """Tells the weather in a city."""
    return f"It is sunny in {city}."


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
async def chat(base_url: str, request: pytest.FixtureRequest) -> AsyncIterator[ChatOpenAI]:
    """By either endpoint."""
    with httpx.Client() as client:
        async with httpx.AsyncClient() as async_client:
            yield ChatOpenAI(
                base_url=base_url,
                api_key=SecretStr("none"),
                model="embedded",
                use_responses_api=request.param,
                temperature=0,
                max_completion_tokens=200,
                http_client=client,
                http_async_client=async_client,
            )


def how_it_ended(answer: AIMessage) -> str:
    metadata = answer.response_metadata
    return str(metadata["status"] if "status" in metadata else metadata["finish_reason"])


async def test_an_answer_and_its_stream_are_the_same(chat: ChatOpenAI) -> None:
    messages = [("system", "You are kind."), ("human", "Hello!")]
    whole = chat.invoke(messages)
    streamed = "".join(chunk.text for chunk in chat.stream(messages))
    assert whole.text
    assert streamed == whole.text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    assert how_it_ended(whole) in ("stop", "length", "completed", "incomplete")


async def test_answers_come_asynchronously_and_in_batches(chat: ChatOpenAI) -> None:
    answers = await chat.abatch(["Hello!", "Who are you?"])
    assert [answer.text for answer in answers] == [chat.invoke(text).text for text in ("Hello!", "Who are you?")]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output_is_an_object_of_the_class(chat: ChatOpenAI, method: str) -> None:
    city = chat.with_structured_output(City, method=method, strict=True).invoke("Tell me about Paris.")  # type: ignore[arg-type]
    assert isinstance(city, City)


async def test_a_forced_call_and_its_result(chat: ChatOpenAI) -> None:
    question = HumanMessage("What is the weather in Paris?")
    forced = chat.bind_tools([weather], tool_choice="weather", strict=True)
    asked = forced.invoke([question])
    assert isinstance(asked, AIMessage)
    (call,) = asked.tool_calls
    assert call["name"] == "weather"
    assert isinstance(call["args"]["city"], str)
    streamed = AIMessageChunk("")
    for chunk in forced.stream([question]):
        assert isinstance(chunk, AIMessageChunk)
        streamed += chunk
    assert [(c["name"], c["args"]) for c in streamed.tool_calls] == [(call["name"], call["args"])]
    result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    assert how_it_ended(chat.bind_tools([weather]).invoke([question, asked, result]))
