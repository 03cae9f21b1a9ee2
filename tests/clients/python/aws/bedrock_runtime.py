"""boto3 against a gateway: prints what it saw as one JSON object, for the suite to judge.

Environment, as boto3 itself reads it: AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_REGION, and AWS_BEARER_TOKEN_BEDROCK or
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; MODEL, PROFILE, PROMPT.
"""

import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

client = boto3.client("bedrock-runtime", config=Config(retries={"total_max_attempts": 1}))
model, prompt = os.environ["MODEL"], os.environ["PROMPT"]


def turn(text):
    return [{"role": "user", "content": [{"text": text}]}]


def messages(text):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200, "messages": [{"role": "user", "content": text}]}
    return json.dumps(body)


def streamed(text):
    seen = {"text": "", "stop": None, "usage": None}
    for event in client.converse_stream(modelId=model, messages=turn(text))["stream"]:
        if "contentBlockDelta" in event:
            seen["text"] += event["contentBlockDelta"]["delta"].get("text", "")
        if "messageStop" in event:
            seen["stop"] = event["messageStop"]["stopReason"]
        if "metadata" in event:
            seen["usage"] = event["metadata"]["usage"]
    return seen


def invoked_stream(text):
    seen, metrics = "", None
    reply = client.invoke_model_with_response_stream(modelId=model, body=messages(text))
    for event in reply["body"]:
        chunk = json.loads(event["chunk"]["bytes"])
        if chunk["type"] == "content_block_delta":
            seen += chunk["delta"].get("text", "")
        metrics = chunk.get("amazon-bedrock-invocationMetrics", metrics)
    return {"text": seen, "metrics": metrics}


def failure(call):
    try:
        call()
    except ClientError as error:
        modelled = isinstance(error, client.exceptions.ClientError) and type(error) is not ClientError
        return {
            "class": type(error).__name__,
            "modelled": modelled,
            "code": error.response["Error"]["Code"],
            "message": error.response["Error"]["Message"],
            "status": error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"),
            "request_id": error.response.get("ResponseMetadata", {}).get("RequestId"),
        }
    return None


plain = client.converse(modelId=model, messages=turn(prompt), inferenceConfig={"temperature": 0.5})
by_profile = client.converse(modelId=os.environ["PROFILE"], messages=turn(prompt))
invoked = client.invoke_model(modelId=model, body=messages(prompt))
counted = client.count_tokens(modelId=model, input={"converse": {"messages": turn(prompt)}})
errors = {
    name: failure(lambda name=name: client.converse(modelId=model, messages=turn(f"@error {name} about it")))
    for name in os.environ.get("ERRORS", "").split()
}
errors["empty"] = failure(lambda: client.converse(modelId=model, messages=turn("@error-empty ValidationException")))
errors["middle"] = failure(lambda: streamed("words and words\n@midstream-exception ThrottlingException 2 slow down"))
print(
    json.dumps(
        {
            "plain": plain["output"]["message"]["content"][0]["text"],
            "usage": plain["usage"],
            "request_id": plain["ResponseMetadata"]["RequestId"],
            "streamed": streamed(prompt),
            "profile": by_profile["output"]["message"]["content"][0]["text"],
            "invoked": json.loads(invoked["body"].read())["content"][0]["text"],
            "invoked_stream": invoked_stream(prompt),
            "counted": counted["inputTokens"],
            "errors": errors,
            "stream_error": EventStreamError.__name__,
        }
    )
)
