"""LangChain's `ChatAnthropic`: text, streaming, tools and structured output; prints what it saw as JSON.

Environment: ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY, as the package itself reads them; MODELS, PROMPT.
"""

import json
import os

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel


class GetWeather(BaseModel):
    """Weather of a city."""

    city: str


prompt = os.environ["PROMPT"]
seen = {}
for model in os.environ["MODELS"].split(","):
    chat = ChatAnthropic(
        model=model,
        base_url=os.environ["ANTHROPIC_BASE_URL"],
        api_key=os.environ["ANTHROPIC_API_KEY"],
        max_tokens=4000,
        max_retries=0,
        timeout=60,
    )
    bound = chat.bind_tools([GetWeather])
    question = HumanMessage('@tool GetWeather {"city":"Paris"}')
    called = bound.invoke([question])
    results = [ToolMessage("sunny", tool_call_id=call["id"]) for call in called.tool_calls]
    streamed = None
    for chunk in chat.stream(prompt):
        streamed = chunk if streamed is None else streamed + chunk
    seen[model] = {
        "plain": chat.invoke(prompt).text,
        "streamed": streamed.text,
        "usage": streamed.usage_metadata["output_tokens"],
        "calls": [[call["name"], call["args"]] for call in called.tool_calls],
        "after": bound.invoke([question, called, *results]).text,
        "structured": type(chat.with_structured_output(GetWeather).invoke("Which city?")).__name__,
    }
print(json.dumps(seen))
