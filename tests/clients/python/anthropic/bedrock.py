"""`AnthropicBedrock` against a gateway: prints what it saw as one JSON object, for the suite to judge.

Environment: ANTHROPIC_BEDROCK_BASE_URL, as the package itself reads it; KEY, MODEL and PROMPT.
"""

import json
import os

from anthropic import AnthropicBedrock, APIStatusError

MODEL, KEY, PROMPT = os.environ["MODEL"], os.environ["KEY"], os.environ["PROMPT"]
common = {"aws_region": "us-east-1", "max_retries": 0, "timeout": 60}
clients = {
    # The key as the access key id: as good as a bearer token.
    "key as id": AnthropicBedrock(aws_access_key=KEY, aws_secret_key="anything", **common),
    # The client's name and its key: the signature is the proof.
    "signed": AnthropicBedrock(aws_access_key="default", aws_secret_key=KEY, **common),
    "bearer": AnthropicBedrock(api_key=KEY, **common),
}
tool = {
    "name": "weather",
    "description": "Weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}


def ask(text, **more):
    return {"model": MODEL, "max_tokens": 4000, "messages": [{"role": "user", "content": text}], **more}


def tools(client):
    question = {"role": "user", "content": '@reason weighing é\n@tool weather {"days":3,"city":"Ulm"}'}
    asked = {"thinking": {"type": "enabled", "budget_tokens": 2000}, "tools": [tool]}
    with client.messages.stream(**{**ask("", **asked), "messages": [question]}) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls]
    turns = [question, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    last = client.messages.create(**{**ask("", **asked), "messages": turns})
    return {
        "kinds": [block.type for block in first.content],
        "inputs": [json.dumps(call.input) for call in calls],
        "answer": "".join(block.text for block in last.content if block.type == "text"),
    }


def refusal(client, text):
    try:
        client.messages.create(**ask(text))
    except APIStatusError as error:
        return [type(error).__name__, error.status_code]


def streamed(client):
    with client.messages.stream(**ask(PROMPT)) as stream:
        text = "".join(stream.text_stream)
        return [text, stream.get_final_message().stop_reason]


seen = {}
for name, client in clients.items():
    seen[name] = {
        "plain": client.messages.create(**ask(PROMPT)).content[0].text,
        "streamed": streamed(client),
        "tools": tools(client),
        "throttled": refusal(client, "@error ThrottlingException slow down"),
    }
stranger = AnthropicBedrock(aws_access_key="AKIAIOSFODNN7EXAMPLE", aws_secret_key="x", **common)
seen["stranger"] = refusal(stranger, PROMPT)
print(json.dumps(seen))
