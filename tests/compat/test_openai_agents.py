"""The OpenAI Agents SDK: an agent that must call its tool, gets the result and answers."""

from typing import Any

import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel

pytestmark = pytest.mark.filterwarnings("default")


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture
def model(base_url: str) -> OpenAIChatCompletionsModel:
    set_tracing_disabled(True)
    return OpenAIChatCompletionsModel("embedded", AsyncOpenAI(base_url=base_url, api_key="none"))


def settings(**choices: Any) -> ModelSettings:
    return ModelSettings(temperature=0, max_tokens=200, **choices)


async def test_an_agent_calls_its_tool_and_answers(model: OpenAIChatCompletionsModel) -> None:
    asked: list[tuple[str, int]] = []

    @function_tool
    def forecast(city: str, days: int) -> str:
        """The weather of the next days."""
        asked.append((city, days))
        return "Sunny."

    agent: Agent[None] = Agent(
        name="Weather",
        instructions="Answer questions about the weather.",
        model=model,
        tools=[forecast],
        model_settings=settings(tool_choice="required"),
    )
    result = await Runner.run(agent, "What is the weather in Paris?", max_turns=4)
    assert len(asked) == 1
    assert isinstance(asked[0][0], str)
    assert isinstance(asked[0][1], int)
    assert isinstance(result.final_output, str)


async def test_a_streamed_run_ends_in_the_same_answer(model: OpenAIChatCompletionsModel) -> None:
    agent: Agent[None] = Agent(name="Host", instructions="Be kind.", model=model, model_settings=settings())
    whole = await Runner.run(agent, "Hello!")
    streamed = Runner.run_streamed(agent, "Hello!")
    async for _ in streamed.stream_events():
        pass
    assert streamed.final_output == whole.final_output != ""


async def test_an_output_type_is_obeyed(model: OpenAIChatCompletionsModel) -> None:
    agent: Agent[None] = Agent(
        name="Atlas", instructions="Describe cities.", model=model, output_type=City, model_settings=settings()
    )
    result = await Runner.run(agent, "Tell me about Paris.")
    assert isinstance(result.final_output, City)
