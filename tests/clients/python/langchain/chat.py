"""LangChain's `ChatOpenAI`: text, streaming, tools and structured output by each method, in Chat Completions and in
Responses; prints what it saw as JSON.

Environment: OPENAI_BASE_URL and OPENAI_API_KEY, as the package itself reads them; MODELS, separated by commas; PROMPT.
"""

import json
import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class GetWeather(BaseModel):
    """Weather of a city."""

    city: str


prompt = os.environ["PROMPT"]
seen = {}
for model in os.environ["MODELS"].split(","):
    for responses in (False, True):
        chat = ChatOpenAI(model=model, use_responses_api=responses, max_retries=0, timeout=60, stream_usage=True)
        bound = chat.bind_tools([GetWeather])
        question = HumanMessage('@tool GetWeather {"city":"Paris"}')
        called = bound.invoke([question])
        results = [ToolMessage("sunny", tool_call_id=call["id"]) for call in called.tool_calls]
        streamed = None
        for chunk in chat.stream(prompt):
            streamed = chunk if streamed is None else streamed + chunk

        def structured(method):
            # A model that cannot be forced to call a tool is asked for it, as this script asks the double.
            text = '@tool GetWeather {"city":"Rome"}' if method == "function_calling" else "Which city?"
            return type(chat.with_structured_output(GetWeather, method=method).invoke(text)).__name__

        seen[f"{model} {'responses' if responses else 'chat'}"] = {
            "plain": chat.invoke(prompt).text,
            "streamed": streamed.text,
            "usage": streamed.usage_metadata["output_tokens"],
            "calls": [[call["name"], call["args"]] for call in called.tool_calls],
            "after": bound.invoke([question, called, *results]).text,
            "structured": [structured(method) for method in ("json_schema", "function_calling")],
        }
print(json.dumps(seen))
