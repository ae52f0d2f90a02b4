"""The OpenAI Agents SDK: an agent that calls its tool, gets the result and answers."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

pytestmark = pytest.mark.filterwarnings("default")


Name = Annotated[str, Field(max_length=20)]
"""Short, so that a small model that has lost its way still ends."""


class City(BaseModel):
    name: Name
    inhabitants: Annotated[int, Field(ge=0, le=99_999_999)]


@pytest.fixture(params=[OpenAIChatCompletionsModel, OpenAIResponsesModel])
async def model(base_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Model]:
    """By either endpoint; responses are the SDK's own choice."""
    set_tracing_disabled(True)
    async with AsyncOpenAI(base_url=base_url, api_key="none") as client:
        yield request.param("embedded", client)


def settings(**choices: Any) -> ModelSettings:
    return ModelSettings(temperature=0, max_tokens=200, **choices)


async def test_an_agent_calls_its_tool_and_answers(model: Model) -> None:
    asked: list[str] = []

    @function_tool
    def get_weather(city: Name) -> str:
        """Returns the weather of a city."""
        asked.append(city)
        return '{"result": "sunny, 21 degrees"}'

    agent: Agent[None] = Agent(
        name="Weather",
        instructions="You are a helpful assistant.",
        model=model,
        tools=[get_weather],
        model_settings=settings(),
    )
    result = await Runner.run(agent, "What is the weather in Paris?", max_turns=4)
    assert set(asked) == {"Paris"}, "a small model may look twice"
    assert "sunny" in result.final_output


async def test_a_streamed_run_ends_in_the_same_answer(model: Model) -> None:
    agent: Agent[None] = Agent(name="Host", instructions="Be kind.", model=model, model_settings=settings())
    whole = await Runner.run(agent, "Hello!")
    streamed = Runner.run_streamed(agent, "Hello!")
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == whole.final_output != ""


async def test_an_output_type_is_obeyed(model: Model) -> None:
    agent: Agent[None] = Agent(
        name="Atlas", instructions="Describe cities.", model=model, output_type=City, model_settings=settings()
    )
    result = await Runner.run(agent, "Tell me about Paris.")
    assert isinstance(result.final_output, City)
