"""The gateway's OpenAPI document, judged by openapi-spec-validator and jsonschema, and compared with the gateway itself.

Checks each golden request of GOLDEN against the document's schemas, and sends a request for each field of the document.
Prints the counts and the findings as JSON.
"""

import json
import os
import pathlib
import re
import urllib.error
import urllib.request

import jsonschema
from openapi_spec_validator import OpenAPIV31SpecValidator

URL = os.environ["GATEWAY_URL"]
KEY = os.environ["OPENAI_API_KEY"]
MODEL = os.environ["MODEL"]
FAMILY = os.environ["FAMILY"]
SUPPORT = "x-bedrock-gateway-support"
ENDPOINTS = {
    "/v1/chat/completions": ("ChatCompletionsRequest", "openai"),
    "/v1/responses": ("ResponsesRequest", "responses"),
    "/v1/messages": ("MessagesRequest", "anthropic"),
}
MESSAGES = [{"role": "user", "content": "hi"}]
BASES = {
    "/v1/chat/completions": {"model": MODEL, "messages": MESSAGES},
    "/v1/responses": {"model": MODEL, "input": "hi"},
    "/v1/messages": {"model": MODEL, "max_tokens": 4096, "messages": MESSAGES},
}
# What a field is valid with only.
WITH = {
    "stream_options": {"stream": True},
    "top_logprobs": {"logprobs": True},
    "tool_choice": {"tools": "example"},
    "parallel_tool_calls": {"tools": "example"},
}


def call(path, body=None):
    request = urllib.request.Request(
        URL + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.headers, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def public(path):
    with urllib.request.urlopen(URL + path) as response:
        return json.load(response)


def support_of(schema):
    support = schema.get(SUPPORT)
    if isinstance(support, dict):
        return next(label for label, families in support.items() if FAMILY in families)
    return support


def observed(name, status, headers, text):
    """How the gateway treated a field: in the words of the document."""
    warnings = headers.get_all("x-bedrock-gateway-warning") or []
    # A warning names the header in which Anthropic's API has this field.
    if name in ("anthropic_beta", "betas"):
        name = "anthropic-beta"
    if any(w.startswith(f"{name}: ") and w.endswith("; dropped") for w in warnings):
        return "dropped"
    # An error of Bedrock shows that the field was sent to it.
    if status == 200 or "aws_request_id" in text:
        return "supported"
    return "rejected" if status == 400 else f"status {status}: {text}"


def fields(path, properties):
    findings, count = [], 0
    for name, schema in properties.items():
        support = support_of(schema)
        if support is None or name == "model":
            continue
        body = dict(BASES[path])
        for other, value in WITH.get(name, {}).items():
            body[other] = properties[other]["examples"][0] if value == "example" else value
        body[name] = schema["examples"][0]
        count += 1
        got = observed(name, *call(path, body))
        expected = support if support in ("dropped", "rejected") else "supported"
        if got != expected:
            findings.append(f"{path} {name}: documented {support}, observed {got}")
    return count, findings


document = public("/openapi.json")
OpenAPIV31SpecValidator(document).validate()

golden, findings = 0, []
for path, (schema, directory) in ENDPOINTS.items():
    reference = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    validator = jsonschema.Draft202012Validator(reference)
    for file in sorted((pathlib.Path(os.environ["GOLDEN"]) / directory / "requests").glob("*.json")):
        # Requests that are rejected, and those of count_tokens, which has a schema of its own.
        if file.stem.startswith(("rejected", "max-tokens-missing", "count-tokens")):
            continue
        golden += 1
        for error in validator.iter_errors(json.loads(file.read_text())):
            findings.append(f"{file.name}: {error.json_path}: {error.message}")

sent = 0
for path, (schema, _) in ENDPOINTS.items():
    count, found = fields(path, document["components"]["schemas"][schema]["properties"])
    sent += count
    findings += found

responses = document["components"]["schemas"]
for path, schema in [
    ("/v1/chat/completions", "ChatCompletion"),
    ("/v1/responses", "Response"),
    ("/v1/messages", "Message"),
]:
    for body, expected in [(BASES[path], schema), ({}, "AnthropicError" if "messages" in path else "OpenAiError")]:
        status, _, text = call(path, body)
        reference = {"$ref": f"#/components/schemas/{expected}", "components": document["components"]}
        for error in jsonschema.Draft202012Validator(reference).iter_errors(json.loads(text)):
            findings.append(f"{path} {status}: {error.json_path}: {error.message}")

# GET requests need no body: the document names paths that exist.
for path, methods in document["paths"].items():
    if "get" in methods:
        # MODEL is an inference profile; its foundation model has no prefix.
        model = MODEL.split(".", 1)[1] if path.startswith("/foundation-models/") else MODEL
        status, _, text = call(re.sub(r"\{[^}]+\}", model, path))
        if status != 200:
            findings.append(f"GET {path}: {status}: {text}")

print(json.dumps({"version": document["openapi"], "golden": golden, "fields": sent, "findings": findings}))
