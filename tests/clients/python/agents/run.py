"""The OpenAI Agents SDK: an agent with a tool, run to its end and streamed; prints what it saw as JSON."""

import asyncio
import json
import os

from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled
from openai.types.shared import Reasoning

set_tracing_disabled(True)
asked = []


@function_tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    asked.append(city)
    return f"sunny in {city}"


agent = Agent(
    name="Weather",
    instructions="Answer in one line.",
    tools=[get_weather],
    model=os.environ["MODEL"],
    model_settings=ModelSettings(reasoning=Reasoning(effort="low", summary="auto")),
)
prompt = os.environ["PROMPT"]


async def main():
    result = await Runner.run(agent, prompt)
    streamed = Runner.run_streamed(agent, prompt)
    types = [event.type async for event in streamed.stream_events()]
    print(
        json.dumps(
            {
                "asked": asked,
                "final": result.final_output,
                "items": [item.type for item in result.new_items],
                "streamed": streamed.final_output,
                "types": sorted(set(types)),
            }
        )
    )


asyncio.run(main())
