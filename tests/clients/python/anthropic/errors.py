"""Errors as the `anthropic` package raises them: prints class, status and type of each.

Environment: ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY, MODELS.
"""

import json
import os

import anthropic
from anthropic import Anthropic

client = Anthropic(max_retries=0, timeout=60)


def raised(ask):
    try:
        ask()
    except anthropic.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.body["error"]["type"], bool(error.request_id)]
    return ["none", 0, "", False]


def asked(model, text, **more):
    client.messages.create(model=model, max_tokens=99, messages=[{"role": "user", "content": text}], **more)


def streamed(model, text):
    with client.messages.stream(model=model, max_tokens=99, messages=[{"role": "user", "content": text}]) as stream:
        for _ in stream:
            pass


seen = {}
for model in os.environ["MODELS"].split(","):
    own = {}
    for name in ["ValidationException", "AccessDeniedException", "ResourceNotFoundException", "ThrottlingException",
                 "ServiceUnavailableException", "InternalServerException", "ModelTimeoutException"]:
        own[name] = raised(lambda: asked(model, f"@error {name} so it is"))
        assert own[name] == raised(lambda: asked(model, f"@error-empty {name}")), name
    try:
        streamed(model, "@midstream-exception throttlingException 3 so it is\nsome words to say first")
        own["midstream"] = "none"
    except anthropic.APIStatusError as error:
        own["midstream"] = error.body["error"]["type"]
    try:
        streamed(model, "@cut 3\nsome words to say first")
        own["cut"] = "none"
    except anthropic.APIStatusError as error:
        own["cut"] = error.body["error"]["type"]
    seen[model] = own
seen["key"] = raised(lambda: Anthropic(api_key="sk-wrong", max_retries=0).models.list())
seen["model"] = raised(lambda: asked("gpt", "hi"))
seen["bearer"] = [model.id for model in Anthropic(api_key=None, auth_token=os.environ["ANTHROPIC_API_KEY"]).models.list(limit=1).data]
print(json.dumps(seen))
