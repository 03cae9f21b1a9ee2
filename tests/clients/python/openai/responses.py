"""Responses with the `openai` package: text, the streaming helper, tools over two turns, structured output and
reasoning that comes back sealed. Prints what it saw as JSON.

The simulated model follows lines that begin with @ in the last user turn.
"""

import json
import os

from openai import APIError, BadRequestError, OpenAI
from pydantic import BaseModel

client = OpenAI(max_retries=0, timeout=30)
model = os.environ["MODEL"]
thinker = os.environ["THINKING_MODEL"]
prompt = os.environ["PROMPT"]
weather = {
    "type": "function",
    "name": "get.weather",
    "description": "Weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"zone": {"type": "string"}, "city": {"type": "string"}},
        "required": ["city"],
    },
    "strict": False,
}

plain = client.responses.create(model=model, input=prompt, instructions="Answer in one line.")

types, numbers = [], []
with client.responses.stream(model=model, input=prompt, instructions="Answer in one line.") as stream:
    for event in stream:
        types.append(event.type)
        numbers.append(event.sequence_number)
    final = stream.get_final_response()

# Two turns with two calls in parallel, streamed; then the same conversation continues.
turn = [{"role": "user", "content": os.environ["TOOLS_PROMPT"]}]
with client.responses.stream(model=model, input=turn, tools=[weather]) as stream:
    called = stream.get_final_response()
calls = [item for item in called.output if item.type == "function_call"]
turn += [item.model_dump(exclude_none=True) for item in called.output]
for call in calls:
    turn.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
turn.append({"role": "user", "content": "thanks"})
after = client.responses.create(model=model, input=turn, tools=[weather])


class Person(BaseModel):
    name: str
    age: int


parsed = client.responses.parse(model=model, input="Who is it?", text_format=Person)

# Reasoning, sealed, goes with its call into the next turn; the simulated model checks its signature.
asked = [{"role": "user", "content": '@reason I should look.\n@tool get_weather {"city":"Rome"}'}]
thought = client.responses.create(
    model=thinker,
    input=asked,
    tools=[weather],
    store=False,
    reasoning={"effort": "low", "summary": "auto"},
    include=["reasoning.encrypted_content"],
)
asked += [item.model_dump(exclude_none=True) for item in thought.output]
for item in thought.output:
    if item.type == "function_call":
        asked.append({"type": "function_call_output", "call_id": item.call_id, "output": "blue"})
replayed = client.responses.create(
    model=thinker, input=asked, tools=[weather], store=False, reasoning={"effort": "low"}
)
broken = json.loads(json.dumps(asked))
for item in broken:
    if item.get("type") == "reasoning":
        item["encrypted_content"] = item["encrypted_content"][:-4] + "AAAA"
try:
    client.responses.create(model=thinker, input=broken, tools=[weather], store=False)
    tampered = None
except BadRequestError as error:
    tampered = [error.status_code, error.param]

try:
    with client.responses.stream(model=model, input="@midstream-exception throttlingException 2 slow down\nhello") as stream:
        for _ in stream:
            pass
    failed = None
except APIError as error:
    failed = [type(error).__name__, error.code, error.body.get("status")]

print(
    json.dumps(
        {
            "plain": plain.output_text,
            "status": plain.status,
            "store": plain.store,
            "usage": plain.usage.model_dump(),
            "streamed": final.output_text,
            "streamed_usage": final.usage.model_dump(),
            "types": types,
            "numbers": numbers,
            "calls": [[call.name, call.arguments] for call in calls],
            "after": after.output_text,
            "parsed": type(parsed.output_parsed).__name__,
            "thought": [item.type for item in thought.output],
            "summary": thought.output[0].summary[0].text,
            "replayed": replayed.output_text,
            "tampered": tampered,
            "failed": failed,
        }
    )
)
