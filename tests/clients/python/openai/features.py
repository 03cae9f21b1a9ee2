"""Tools, structured output, images and cancellation with the `openai` package: prints what it saw as JSON.

The simulated model follows lines that begin with @ in the last user turn.
"""

import json
import os

from openai import OpenAI
from pydantic import BaseModel

client = OpenAI(max_retries=0, timeout=30)
model = os.environ["MODEL"]
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
weather = {
    "type": "function",
    "function": {
        "name": "get.weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string"}, "city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
ask = 'Two please.\n@tool get_weather {"zone":"CET","city":"Paris"}\n@tool get_weather {"city":"Rome"}'
turns = [{"role": "user", "content": os.environ.get("TOOLS_PROMPT", ask)}]


def told(calls):
    return [[call["name"], call["arguments"]] for call in calls]


plain = client.chat.completions.create(model=model, messages=turns, tools=[weather]).choices[0]
plain_calls = [{"name": c.function.name, "arguments": c.function.arguments} for c in plain.message.tool_calls]

streamed, indexes = {}, []
for chunk in client.chat.completions.create(model=model, messages=turns, tools=[weather], stream=True):
    for choice in chunk.choices:
        for part in choice.delta.tool_calls or []:
            if part.index not in streamed:
                indexes.append(part.index)
            call = streamed.setdefault(part.index, {"name": "", "arguments": ""})
            call["name"] += part.function.name or ""
            call["arguments"] += part.function.arguments or ""

followup = turns + [plain.message.model_dump(exclude_none=True)]
for call in plain.message.tool_calls:
    followup.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
followup.append({"role": "user", "content": "thanks"})
after = client.chat.completions.create(model=model, messages=followup, tools=[weather])


class Person(BaseModel):
    name: str
    age: int


parsed = client.chat.completions.parse(
    model=model,
    messages=[{"role": "user", "content": "Who is it?"}],
    response_format=Person,
)

image = client.chat.completions.create(
    model=model,
    messages=[
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        }
    ],
)

slow = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "@repeat 400 word \n@slow 50ms"}],
    stream=True,
)
seen = 0
for _ in slow:
    seen += 1
    if seen == 3:
        slow.close()
        break

print(
    json.dumps(
        {
            "plain": told(plain_calls),
            "finish": plain.finish_reason,
            "streamed": told(streamed.values()),
            "indexes": indexes,
            "after": after.choices[0].message.content,
            "parsed": parsed.choices[0].message.parsed is not None,
            "parsed_finish": parsed.choices[0].finish_reason,
            "image": image.choices[0].message.content,
            "cancelled_after": seen,
        }
    )
)
