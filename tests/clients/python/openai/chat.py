"""The `openai` package against a gateway: prints what it saw as one JSON object, for the suite to judge.

Environment: OPENAI_BASE_URL and OPENAI_API_KEY, as the package itself reads them; MODEL, PROMPT.
"""

import json
import os

from openai import OpenAI

client = OpenAI(max_retries=0, timeout=30)
model = os.environ["MODEL"]
messages = [
    {"role": "system", "content": "Answer in one line."},
    {"role": "user", "content": "first turn"},
    {"role": "assistant", "content": "first answer"},
    {"role": "user", "content": os.environ["PROMPT"]},
]

plain = client.chat.completions.create(model=model, messages=messages, temperature=0.5, max_tokens=200)

text, roles, finish, usage, chunks, ids = "", [], None, None, 0, set()
stream = client.chat.completions.create(
    model=model,
    messages=messages,
    temperature=0.5,
    max_tokens=200,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    chunks += 1
    ids.add(chunk.id)
    if chunk.usage is not None:
        usage = chunk.usage
    for choice in chunk.choices:
        if choice.delta.role:
            roles.append(choice.delta.role)
        text += choice.delta.content or ""
        finish = choice.finish_reason or finish

print(
    json.dumps(
        {
            "plain": {
                "text": plain.choices[0].message.content,
                "finish": plain.choices[0].finish_reason,
                "usage": [plain.usage.prompt_tokens, plain.usage.completion_tokens, plain.usage.total_tokens],
                "model": plain.model,
                "object": plain.object,
            },
            "streamed": {
                "text": text,
                "finish": finish,
                "usage": usage and [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
                "roles": roles,
                "chunks": chunks,
                "ids": len(ids),
            },
            "models": [entry.id for entry in client.models.list()],
        }
    )
)
