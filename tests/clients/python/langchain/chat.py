"""LangChain's `ChatOpenAI`: text, streaming, tools and structured output; prints what it saw as JSON."""

import json
import os

from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class GetWeather(BaseModel):
    """Weather of a city."""

    city: str


chat = ChatOpenAI(model=os.environ["MODEL"], max_retries=0, timeout=30, temperature=0.5)
prompt = os.environ["PROMPT"]
called = chat.bind_tools([GetWeather]).invoke('@tool GetWeather {"city":"Paris"}')
structured = chat.with_structured_output(GetWeather, method="function_calling").invoke("Which city?")
print(
    json.dumps(
        {
            "plain": chat.invoke(prompt).content,
            "streamed": "".join(chunk.content for chunk in chat.stream(prompt)),
            "calls": [[call["name"], call["args"]] for call in called.tool_calls],
            "structured": type(structured).__name__,
        }
    )
)
