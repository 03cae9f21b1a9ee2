"""LangChain's `ChatBedrockConverse` against a gateway: prints what it saw as one JSON object, for the suite to judge.

Environment as in `bedrock_runtime.py`.
"""

import json
import os

from langchain_aws import ChatBedrockConverse
from langchain_core.tools import tool


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


model = ChatBedrockConverse(
    model=os.environ["MODEL"],
    region_name=os.environ["AWS_REGION"],
    base_url=os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"],
)
prompt = os.environ["PROMPT"]


def text(message):
    content = message.content
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


plain = model.invoke(prompt)
streamed = "".join(text(chunk) for chunk in model.stream(prompt))
called = model.bind_tools([get_weather]).invoke('@tool get_weather {"city":"Paris"}')
print(
    json.dumps(
        {
            "plain": text(plain),
            "usage": plain.usage_metadata,
            "streamed": streamed,
            "calls": [[call["name"], call["args"]] for call in called.tool_calls],
        }
    )
)
