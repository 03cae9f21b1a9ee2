"""Agents of Pydantic AI with each of its models that a gateway serves: text, a stream, tools, structured output.

Prints what it saw as one JSON object, for the suite to judge. Environment: URL, KEY, PROMPT; MODELS as JSON, a kind and
a name of each.
"""

import asyncio
import json
import os

from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, ToolOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.bedrock import BedrockProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Person(BaseModel):
    name: str
    age: int


url, key, prompt = (os.environ[name] for name in ("URL", "KEY", "PROMPT"))
openai = OpenAIProvider(base_url=f"{url}/v1", api_key=key)
anthropic = AnthropicProvider(base_url=url, api_key=key)
bedrock = BedrockProvider(
    base_url=url, region_name="us-east-1", aws_access_key_id="default", aws_secret_access_key=key
)
kinds = {
    "chat": lambda name: OpenAIChatModel(name, provider=openai),
    "responses": lambda name: OpenAIResponsesModel(name, provider=openai),
    "anthropic": lambda name: AnthropicModel(name, provider=anthropic),
    "bedrock": lambda name: BedrockConverseModel(name, provider=bedrock),
}


async def streamed(agent: Agent) -> str:
    async with agent.run_stream(prompt) as run:
        return "".join([part async for part in run.stream_text(delta=True)])


async def status(agent: Agent, script: str) -> int | None:
    try:
        await agent.run(script)
    except ModelHTTPError as error:
        return error.status_code
    return None


async def look(model) -> dict:
    plain = await Agent(model).run(prompt)
    asked = []
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Weather of a city."""
        asked.append(city)
        return f"sunny in {city}"

    loop = await agent.run(
        '@say Let me look.\n@tool get_weather {"city":"Paris"}\n@tool get_weather {"city":"Ulm"}'
    )
    # A tool of that name is the default way of structured output; a model that cannot be forced is asked for it.
    by_tool = Agent(model, output_type=ToolOutput(Person, name="person"))
    native = Agent(model, output_type=NativeOutput(Person))
    return {
        "plain": plain.output,
        "usage": plain.usage.output_tokens,
        "streamed": await streamed(Agent(model)),
        "asked": sorted(asked),
        "answer": loop.output,
        "by_tool": (await by_tool.run('@tool person {"name":"Ann","age":7}')).output.name,
        "native": type((await native.run("A person.")).output).__name__,
        "failures": [await status(agent, f"@error {name}") for name in os.environ["ERRORS"].split()],
    }


async def main() -> None:
    seen = {}
    for kind, name in json.loads(os.environ["MODELS"]):
        seen[f"{kind} {name}"] = await look(kinds[kind](name))
    print(json.dumps(seen))


asyncio.run(main())
