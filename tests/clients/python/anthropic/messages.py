"""The `anthropic` package against a gateway: prints what it saw as one JSON object, for the suite to judge.

Environment: ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY, as the package itself reads them; MODELS, separated by commas.
"""

import json
import os

from anthropic import Anthropic

client = Anthropic(max_retries=0, timeout=60)
tool = {
    "name": "weather",
    "description": "Weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}


def plain(model):
    message = client.messages.create(
        model=model,
        max_tokens=200,
        system="Answer in one line.",
        messages=[{"role": "user", "content": "The quick brown fox – über 5 € 🦊"}],
    )
    return {
        "text": message.content[0].text,
        "stop": message.stop_reason,
        "usage": [message.usage.input_tokens, message.usage.output_tokens],
    }


def streamed(model):
    events = []
    with client.messages.stream(
        model=model,
        max_tokens=200,
        system="Answer in one line.",
        messages=[{"role": "user", "content": "The quick brown fox – über 5 € 🦊"}],
    ) as stream:
        for event in stream:
            events.append(event.type)
        message = stream.get_final_message()
    return {
        "text": message.content[0].text,
        "stop": message.stop_reason,
        "usage": [message.usage.input_tokens, message.usage.output_tokens],
        "events": events,
    }


def tools(model):
    question = {"role": "user", "content": 'let me see\n@tool weather {"city":"Ulm","days":3}\n@tool weather {"city":"Bonn"}'}
    first = client.messages.create(model=model, max_tokens=500, tools=[tool], messages=[question])
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"sunny in {call.input['city']}"} for call in calls]
    with client.messages.stream(
        model=model,
        max_tokens=500,
        tools=[tool],
        messages=[question, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}],
    ) as stream:
        last = stream.get_final_message()
    return {
        "stop": first.stop_reason,
        "inputs": [call.input for call in calls],
        "answer": last.content[0].text,
    }


def thinking(model):
    """Six turns; the double takes back no signed block that changed."""
    messages, kinds = [], []
    for turn in range(6):
        content = []
        if messages:
            content = [
                {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": f"result {turn}"}]}
                for block in messages[-1]["content"]
                if block.type == "tool_use"
            ]
        redacted = "\n@reason-redacted" if turn == 3 else ""
        text = f'@reason weighing "{turn}" – é{redacted}\n@tool weather {{"city":"{turn}"}}'
        messages.append({"role": "user", "content": content + [{"type": "text", "text": text}]})
        asked = {
            "model": model,
            "max_tokens": 4000,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "tools": [tool],
            "messages": messages,
        }
        if turn % 2:
            with client.messages.stream(**asked) as stream:
                message = stream.get_final_message()
        else:
            message = client.messages.create(**asked)
        kinds.append([block.type for block in message.content])
        messages.append({"role": "assistant", "content": message.content})
    return kinds


seen = {}
for model in os.environ["MODELS"].split(","):
    seen[model] = {"plain": plain(model), "streamed": streamed(model), "tools": tools(model)}
    if "claude" in model:
        seen[model]["thinking"] = thinking(model)
        count = client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "how long is this?"}])
        seen[model]["count"] = count.input_tokens

seen["models"] = [model.id for model in client.models.list(limit=2)]
seen["model"] = client.models.retrieve("claude").display_name
print(json.dumps(seen))
