"""How errors of the gateway reach a user of the `openai` package: prints class, status and body of each."""

import json
import os

import openai

client = openai.OpenAI(max_retries=0, timeout=30)
hello = [{"role": "user", "content": "hello"}]


def attempt(action):
    try:
        action()
        return {"class": None}
    except openai.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "status": error.status_code,
            "message": str(error),
            "type": error.type,
            "param": error.param,
            "code": error.code,
            "request_id": error.request_id,
        }


model = os.environ["MODEL"]
create = client.chat.completions.create
stranger = openai.OpenAI(api_key="sk-wrong", max_retries=0, timeout=30)
print(
    json.dumps(
        {
            "unknown model": attempt(lambda: create(model="no-such-model", messages=hello)),
            "wrong key": attempt(lambda: stranger.chat.completions.create(model=model, messages=hello)),
            "no messages": attempt(lambda: create(model=model, messages=[])),
            "temperature": attempt(lambda: create(model=model, messages=hello, temperature="hot")),
            "n": attempt(lambda: create(model=model, messages=hello, n=2)),
            "throttled": attempt(
                lambda: create(model=model, messages=[{"role": "user", "content": "@error ThrottlingException"}])
            ),
        }
    )
)
