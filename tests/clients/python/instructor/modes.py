"""instructor in its usual modes, for OpenAI's Chat and Responses and for Anthropic: prints what it saw as JSON.

Environment: URL, KEY; MODELS as JSON, a mode and a model of each.
"""

import json
import os

import anthropic
import instructor
import openai
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


url, key = os.environ["URL"], os.environ["KEY"]
chat = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
messages = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0)
seen = {}
for name, model in json.loads(os.environ["MODELS"]):
    mode = instructor.Mode[name]
    if name.startswith("ANTHROPIC"):
        client = instructor.from_anthropic(messages, mode=mode)
        limit = {"max_tokens": 500}
    else:
        client = instructor.from_openai(chat, mode=mode)
        limit = {}

    def ask(text):
        turn = [{"role": "user", "content": text}]
        return client.chat.completions.create(
            model=model, messages=turn, response_model=Person, max_retries=0, **limit
        )

    try:
        ask("@error ThrottlingException")
        failure = None
    except Exception as error:
        failure = type(error).__name__
    person = ask("A person.")
    seen[f"{name} {model}"] = {"person": type(person).__name__, "failure": failure}
print(json.dumps(seen))
